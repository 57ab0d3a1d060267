"""Curves of runs: what their events come to, and the picture, page and table of it."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from conftest import densenet, passed, refused

from archspec.errors import ArchspecError, TrainingError
from archspec.train.monitoring.curve_pictures import draw_curves, list_rows, to_png, to_svg
from archspec.train.monitoring.curves import choose_metrics, read_curves, read_runs

SVG = "{http://www.w3.org/2000/svg}"


def start(done=0, epochs=5):
    return {"event": "start", "epochs": epochs, "epochs_done": done, "steps": 2}


def step(epoch, rate):
    return {"event": "step", "epoch": epoch, "step": 2, "learning_rate": rate}


def epoch(number, loss, top1=None, **more):
    event = {"event": "epoch", "epoch": number, "loss": loss, "accuracy": 0.5, "seconds": 1.0}
    if top1 is not None:
        event |= {"val_loss": loss, "val_top1": top1, "val_top5": 0.9, "val_images": 8}
    return event | more


def make_run(folder: Path, *events: object, rest: str = "") -> Path:
    """A folder that passes for a run's, with these events."""
    folder.mkdir(parents=True)
    for name in ("spec.yaml", "recipe.yaml", "run.json"):
        (folder / name).touch()
    if events:
        lines = "".join(json.dumps({"time": 1.0, **event}) + "\n" for event in events)
        (folder / "metrics.jsonl").write_text(lines + rest)
    return folder


def curves_of(tmp_path, *events, rest=""):
    return read_curves(make_run(tmp_path / "run", *events, rest=rest) / "metrics.jsonl", "run")


def test_a_half_written_last_line_is_left_for_the_next_look(tmp_path):
    found = curves_of(tmp_path, start(), epoch(1, 2.0, 0.5), rest='{"event": "epoch", "ep')
    assert list(found.figures) == [1]


def test_of_an_epoch_that_was_repeated_the_later_counts(tmp_path):
    """Its own event, or that the run was taken up before it: the epochs behind are lost too."""
    events = (start(), *(epoch(number, 2.0 - number / 10, number / 10) for number in range(1, 5)))
    found = curves_of(tmp_path, *events, start(done=2), epoch(3, 9.0, 0.1))
    assert found.points("loss") == [(1, 1.9), (2, 1.8), (3, 9.0)]
    assert found.best == 2
    again = curves_of(tmp_path / "again", start(), epoch(1, 2.0), epoch(1, 1.0))
    assert again.points("loss") == [(1, 1.0)]


def test_the_best_epoch_is_what_the_run_says_or_has_the_best_figure(tmp_path):
    """Of equal ones the later; where the run says it, the figure may be another."""
    old = curves_of(
        tmp_path, *(epoch(n, 1.0, top1) for n, top1 in enumerate((0.5, 0.7, 0.7, 0.6), 1))
    )
    assert old.best == 3
    told = (epoch(1, 1.0, 0.9, is_best=True), epoch(2, 0.5, 0.8, is_best=True))
    assert curves_of(tmp_path / "told", *told).best == 2
    assert curves_of(tmp_path / "bare", epoch(1, 1.0)).best is None


def test_rate_and_speed_of_an_epoch_are_those_of_its_last_steps(tmp_path):
    found = curves_of(
        tmp_path, step(1, 0.1), step(1, 0.2), epoch(1, 1.0), step(2, 0.3), epoch(2, 1.0)
    )
    assert found.points("learning_rate") == [(1, 0.2), (2, 0.3)]


def test_what_is_no_number_leaves_a_gap(tmp_path):
    found = curves_of(tmp_path, epoch(1, float("nan")), epoch(2, float("inf")), epoch(3, 1.0))
    assert found.points("loss") == [(3, 1.0)]


NO_EVENTS = (
    "",
    "{",
    "[]",
    "3",
    "{}",
    '{"event": "epoch"}',
    '{"event": "epoch", "epoch": "1"}',
    '{"event": "epoch", "epoch": -1}',
    '{"event": "epoch", "epoch": 1e9}',
    '{"event": "start", "epochs": true, "epochs_done": 0}',
    '{"event": "step", "learning_rate": []}',
    f'{{"event": "epoch", "epoch": 1, "loss": 1{"0" * 400}}}',
    "[" * 100_000,
    "\udcff",
    f'"{"x" * 2_000_000}',
)


@pytest.mark.parametrize("line", NO_EVENTS, ids=range(len(NO_EVENTS)))
def test_a_line_that_is_no_event_is_named(line, tmp_path):
    path = make_run(tmp_path / "run", start()) / "metrics.jsonl"
    with path.open("ab") as file:
        file.write(line.encode(errors="surrogateescape") + b"\n")
    with pytest.raises(TrainingError, match=r"metrics.jsonl T004 line 2 is no event of a run"):
        read_curves(path, "run")


def test_folders_that_are_no_runs_are_told_all_at_once_and_runs_without_an_epoch_noted(tmp_path):
    good, young = make_run(tmp_path / "good", epoch(1, 1.0)), make_run(tmp_path / "young")
    begun = make_run(tmp_path / "begun", start(), step(1, 0.1))
    found, notes = read_runs([good, young, good, begun])
    assert [each.name for each in found] == ["good"]
    assert notes == (f"{young}: no epoch is done yet", f"{begun}: no epoch is done yet")
    with pytest.raises(TrainingError, match="T021 no epoch is done yet"):
        read_runs([young, begun])
    with pytest.raises(
        TrainingError, match=r"T004 holds run directories, and is none .*name them: "
    ):
        read_runs([tmp_path])
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError) as fault:
        read_runs([tmp_path / "empty", good, tmp_path / "gone"])
    assert [each.code for each in fault.value.diagnostics] == ["T004", "T004"]


def test_runs_of_one_name_are_called_by_their_paths(tmp_path):
    paths = [make_run(tmp_path / parent / "run", epoch(1, 1.0)) for parent in "ab"]
    assert [each.name for each in read_runs(paths)[0]] == [str(path) for path in paths]


def different_runs(tmp_path):
    """One validated, of several epochs, one not validated, of one epoch, and a name that would be a
    formula, or none.
    """
    events = [start(), *(epoch(n, 2.0 / n, n / 10, ema_top1=0.5) for n in range(1, 5))]
    long = make_run(tmp_path / "long", *events)
    short = make_run(tmp_path / "_$x_1$ <b>", start(epochs=1), step(1, 0.1), epoch(1, 1.0))
    return read_runs([long, short])[0]


def test_curves_have_a_vertex_an_epoch_dashed_where_they_are_of_training(tmp_path):
    curves = different_runs(tmp_path)
    panels = choose_metrics(curves, ())
    assert panels == (("loss", "val_loss"), ("accuracy", "val_top1"), ("learning_rate",))
    root = ET.fromstring(to_svg(curves, panels))
    for gid, vertices, is_dashed in (
        ("run1.loss", 4, True),
        ("run1.val_loss", 4, False),
        ("run1.val_top1", 4, False),
        ("run2.loss", 1, True),
    ):
        (group,) = [each for each in root.iter(f"{SVG}g") if each.get("id") == gid]
        path = next(group.iter(f"{SVG}path"))
        assert len(re.findall("[ML]", path.get("d"))) == vertices, gid
        assert ("stroke-dasharray" in path.get("style")) == is_dashed
    words = {each.text.strip() for each in root.iter(f"{SVG}text")}
    assert words >= {"long", "_$x_1$ <b>", "training", "validation", "best epoch", "epoch"}


def test_equal_figures_give_equal_bytes(tmp_path):
    curves = different_runs(tmp_path)
    panels = choose_metrics(curves, ())
    assert to_svg(curves, panels) == to_svg(curves, panels)
    assert b"<dc:date>" not in to_svg(curves, panels)
    assert to_png(curves, panels) == to_png(curves, panels)


def test_a_page_needs_nothing_else_and_has_the_table(tmp_path):
    curves = different_runs(tmp_path)
    target = tmp_path / "new/folder/curves.html"
    draw_curves(curves, choose_metrics(curves, ()), target)
    text = target.read_text()
    assert text.startswith("<!doctype html>")
    assert not re.search(r"<script|<link|<img|<\?xml|src=|url\(http", text)
    assert "<td>long</td><td>4 of 5 best</td><td>0.5</td><td>0.5</td>" in text
    assert "<td>_$x_1$ &lt;b&gt;</td><td>1 of 1</td><td>1</td><td></td>" in text


def test_the_table_has_the_last_and_the_best_epoch(tmp_path):
    curves = read_runs([make_run(tmp_path / "a", start(), epoch(1, 1.0, 0.7), epoch(2, 0.5, 0.6))])[
        0
    ]
    assert [*list_rows(curves, (("loss",), ("val_top1",)))] == [
        ("run", "epoch", "loss", "val_top1"),
        ("a", "2 of 5", "0.5", "0.6"),
        ("", "1 best", "1", "0.7"),
    ]


def test_other_figures_are_drawn_each_by_itself_and_misspelt_ones_listed(tmp_path):
    curves = different_runs(tmp_path)
    assert choose_metrics(curves, ["ema_top1", "ema_top1", "seconds"]) == (
        ("ema_top1",),
        ("seconds",),
    )
    with pytest.raises(
        TrainingError, match=r"T021 .* called ema_topp .*there are: .*ema_top1"
    ) as fault:
        choose_metrics(curves, ["loss", "ema_topp"])
    assert "event" not in str(fault.value)


@pytest.mark.parametrize(
    ("name", "code"), [("a.pdf", "W001"), ("a", "W001"), ("taken/a.svg", "W002")]
)
def test_what_cannot_be_written_leaves_nothing(name, code, tmp_path):
    curves = different_runs(tmp_path / "runs")
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(ArchspecError, match=code):
        draw_curves(curves, choose_metrics(curves, ()), tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs", "taken"]


def test_many_runs_have_colours_of_their_own(tmp_path):
    runs = [make_run(tmp_path / f"{number}", epoch(1, 1.0)) for number in range(12)]
    root = ET.fromstring(to_svg(read_runs(runs)[0], (("loss",),)))
    lines = [each for each in root.iter(f"{SVG}g") if str(each.get("id")).endswith(".loss")]
    assert len({next(line.iter(f"{SVG}path")).get("style") for line in lines}) == 12


def test_the_command_shows_a_table_or_draws_a_real_run(small_run, tmp_path, no_mindspore):
    """Without MindSpore: whoever looks on must not wait for it."""
    shown = passed(densenet("plot", small_run, cwd=tmp_path, env=no_mindspore))
    head, row, *_ = shown.splitlines()
    assert head.split()[:4] == ["run", "epoch", "loss", "val_loss"]
    assert row.split()[:4] == ["run", "2", "of", "2"]
    drawn = densenet("plot", small_run, "-o", "new/curves.svg", cwd=tmp_path, env=no_mindspore)
    assert passed(drawn) == "drew new/curves.svg\n"
    ET.parse(tmp_path / "new/curves.svg")
    refused(densenet("plot", small_run, "-o", "x.pdf", cwd=tmp_path), "x.pdf W001 '.pdf'")


def test_epochs_without_a_usual_figure_are_told_what_there_is(tmp_path):
    """A picture without a panel would be none."""
    curves = curves_of(tmp_path, {"event": "epoch", "epoch": 1, "seconds": 3.0})
    with pytest.raises(TrainingError, match=r"T021 no epoch has a loss.*there are: seconds"):
        choose_metrics([curves], ())
