"""Curves of runs as a picture, a page or a table; equal figures give equal bytes."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from archspec.errors import ArchspecError
from archspec.files import write_atomic
from archspec.train.monitoring.curves import OF_STEPS, Curves
from archspec.writers.page import write_page, write_row

SUFFIXES = (".svg", ".png", ".html")
PANEL_INCHES, WIDTH_INCHES, DOTS_PER_INCH = 2.6, 8.0, 144
FEW_EPOCHS = 30
"""So many or fewer are drawn with a dot each."""
MOST_NAMED_COLOURS = 10
TITLES = {
    "accuracy": "accuracy",
    "learning_rate": "learning rate",
    "images_per_second": "images/s",
    "seconds": "seconds",
}
STYLE = """
body { margin: 0 auto; max-width: 960px; padding: 16px; color: #1d2430;
  font: 14px/1.45 Helvetica, Arial, 'DejaVu Sans', sans-serif; }
svg { display: block; width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; white-space: nowrap; }
th, td { padding: 5px 10px; text-align: right; border-bottom: 1px solid #dfe3e8;
  font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; }
"""

Panels = Sequence[Sequence[str]]


def check_target(target: Path) -> None:
    """Raise ArchspecError (W001) where a file's suffix names no picture."""
    if target.suffix.lower() not in SUFFIXES:
        message = f"{target.suffix or 'no suffix'!r} is no kind of picture"
        raise ArchspecError.one("W001", message, str(target), f"known: {', '.join(SUFFIXES)}")


def draw_curves(curves: Sequence[Curves], panels: Panels, target: Path) -> None:
    """Write the curves into a .svg, .png or .html file, whole or not at all; its folder is made.

    Raises:
        ArchspecError: W001, an unknown suffix; W002, the file cannot be written.
    """
    check_target(target)
    kind = target.suffix.lower()
    content: str | bytes = to_png(curves, panels) if kind == ".png" else to_svg(curves, panels)
    if kind == ".html":
        content = to_page(curves, panels)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(target, content)
    except FileExistsError:
        message = "cannot be written: its folder is a file"
        raise ArchspecError.one("W002", message, str(target)) from None
    except OSError as error:
        message = f"cannot be written: {error.strerror}"
        raise ArchspecError.one("W002", message, str(target)) from None


# ---- tables


def list_rows(curves: Sequence[Curves], panels: Panels) -> Iterator[tuple[str, ...]]:
    """Yield a head, then rows of text: the last epoch of each run, and the best one."""
    metrics = [name for panel in panels for name in panel]
    yield ("run", "epoch", *metrics)
    for each in curves:
        last, name = max(each.figures), show_name(each)
        rows = {last: f"{last} of {each.epochs}"}
        if each.best is not None:
            rows[each.best] = f"{rows.get(each.best, each.best)} best"
        for epoch, title in rows.items():
            figures = each.figures[epoch]
            yield (name, title, *(_format(figures.get(metric)) for metric in metrics))
            name = ""


def _format(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def show_name(curves: Curves) -> str:
    """Return a run's name as text, whatever bytes the folder's has."""
    return os.fsencode(curves.name).decode(errors="replace")


# ---- pictures


def to_page(curves: Sequence[Curves], panels: Panels) -> str:
    """Return a page of HTML with the picture and a table; it loads nothing."""
    picture = to_svg(curves, panels).decode()
    picture = picture[picture.index("<svg") :]
    head, *rows = (write_row(cells, tag) for cells, tag in _tag_rows(curves, panels))
    title = ", ".join(show_name(each) for each in curves)
    table = "\n".join(rows)
    page = f"""<div class="wide">
{picture}</div>
<div class="wide">
<table>
<thead>{head}</thead>
<tbody>
{table}
</tbody>
</table>
</div>"""
    return write_page(title, page, STYLE)


def _tag_rows(curves: Sequence[Curves], panels: Panels) -> Iterator[tuple[tuple[str, ...], str]]:
    for number, cells in enumerate(list_rows(curves, panels)):
        yield cells, "td" if number else "th"


def to_svg(curves: Sequence[Curves], panels: Panels) -> bytes:
    """Return the picture as SVG, its words as text."""
    return _save(curves, panels, "svg", {"Date": None, "Creator": None})


def to_png(curves: Sequence[Curves], panels: Panels) -> bytes:
    """Return the picture as PNG."""
    return _save(curves, panels, "png", {"Software": None})


def _save(curves: Sequence[Curves], panels: Panels, kind: str, metadata: Any) -> bytes:
    import matplotlib

    settings = {"svg.hashsalt": "densenet", "svg.fonttype": "none"}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters in a run's name that the font lacks
        figure = _draw(curves, panels)
        file = io.BytesIO()
        figure.savefig(file, format=kind, metadata=metadata, dpi=DOTS_PER_INCH)
    return file.getvalue()


def _draw(curves: Sequence[Curves], panels: Panels) -> Any:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    size = (WIDTH_INCHES, PANEL_INCHES * len(panels) + 0.25 * len(curves) + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    colours = _choose_colours(len(curves))
    for panel, plane in zip(panels, axes, strict=True):
        for number, (each, colour) in enumerate(zip(curves, colours, strict=True), 1):
            _draw_panel(plane, each, panel, colour, f"run{number}")
        plane.set_ylabel(TITLES.get(panel[0], panel[0]))
        plane.grid(alpha=0.3)
    axes[-1].set_xlabel("epoch")
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _add_legend(figure, curves, colours, panels)
    return figure


def _choose_colours(count: int) -> list[Any]:
    import matplotlib

    if count <= MOST_NAMED_COLOURS:
        return [f"C{number}" for number in range(count)]
    scale = matplotlib.colormaps["turbo"]
    return [scale(number / (count - 1)) for number in range(count)]


def _draw_panel(plane: Any, curves: Curves, panel: Sequence[str], colour: Any, mark: str) -> None:
    for metric in panel:
        points = curves.points(metric)
        epochs = [epoch for epoch, _ in points]
        plane.plot(
            epochs,
            [value for _, value in points],
            color=colour,
            linestyle="--" if is_of_training(metric) else "-",
            marker="." if len(points) <= FEW_EPOCHS else "",
            gid=f"{mark}.{metric}",
        )
        marked = [point for point in points if point[0] == curves.best]
        if marked and not is_of_training(metric) and metric not in OF_STEPS:
            plane.plot(*marked[0], color=colour, marker="o", markersize=9, fillstyle="none")


def is_of_training(metric: str) -> bool:
    """Tell whether a figure is one of the images that are learnt from, which is drawn dashed."""
    return metric in ("loss", "accuracy")


def _add_legend(
    figure: Any, curves: Sequence[Curves], colours: Sequence[Any], panels: Panels
) -> None:
    from matplotlib.lines import Line2D

    names = [show_name(each) for each in curves]
    handles = [Line2D([], [], color=colour) for colour in colours]
    drawn = {metric for panel in panels for metric in panel}
    if any(is_of_training(metric) for metric in drawn):
        names += ["training"]
        handles += [Line2D([], [], color="grey", linestyle="--")]
    if any(metric.startswith(("val_", "ema_")) for metric in drawn):
        names += ["validation", "best epoch"]
        handles += [Line2D([], [], color="grey")]
        handles += [Line2D([], [], color="grey", marker="o", fillstyle="none", linestyle="")]
    # Named afterwards: of labels matplotlib would leave out some, and read others as formulas.
    legend = figure.legend(handles, ["run"] * len(names), loc="outside upper left", ncols=1)
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_parse_math(False)
        text.set_text(name)
