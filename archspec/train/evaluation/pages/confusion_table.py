"""A confusion matrix as a table of HTML, coloured by shares."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from archspec.train.evaluation.evaluation import Evaluation
from archspec.writers.page import escape_text

MOST_CLASSES = 50
"""Of more, a table of all could not be read."""
RIGHT, WRONG = (0, 114, 178), (213, 94, 0)


def draw_confusions(found: Evaluation) -> str:
    """Return the matrix: a row for each class, a column for what was said; of very many classes
    those that are confused most often, and a line that says so.
    """
    if found.confusion is None:
        return ""
    count = len(found.confusion)
    numbers = choose_confused(found.confusion)
    judged = "pixels" if "pixels" in found.per_class else "images"
    explained = f"Rows are what the {judged} are, columns what they are taken for; "
    explained += "a cell is coloured by its share of its row."
    if len(numbers) < count:
        explained += f" Of {count:,} classes, the {len(numbers)} that are confused most often."
    heads = "".join(f"<th><span>{escape_text(found.classes[n])}</span></th>" for n in numbers)
    rows = "\n".join(_draw_row(found, found.confusion, right, numbers) for right in numbers)
    return (
        f'<p>{explained}</p>\n<div class="wide"><table class="matrix">'
        f"<thead><tr><th></th>{heads}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
    )


def choose_confused(confusion: npt.NDArray[np.int64], most: int = MOST_CLASSES) -> list[int]:
    """Return so many classes, in their order: those with most that are taken for another
    class's, or that others are taken for.
    """
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    mistakes = wrong.sum(axis=0) + wrong.sum(axis=1)
    return sorted(int(number) for number in np.argsort(-mistakes, kind="stable")[:most])


def _draw_row(
    found: Evaluation, confusion: npt.NDArray[np.int64], right: int, numbers: Sequence[int]
) -> str:
    name, total = escape_text(found.classes[right]), int(confusion[right].sum())
    cells = []
    for said in numbers:
        count = int(confusion[right, said])
        cells.append(_draw_cell(count, total, found.classes[said], is_right=said == right))
    return f"<tr><th>{name}</th>{''.join(cells)}</tr>"


def _draw_cell(count: int, total: int, said: str, *, is_right: bool) -> str:
    if not count:
        return "<td></td>"
    share = count / total
    red, green, blue = RIGHT if is_right else WRONG
    # So that one of many is still seen.
    opacity = 0.12 + 0.88 * share
    ink = "#fff" if opacity > 0.6 else "inherit"
    style = f"background: rgba({red}, {green}, {blue}, {opacity:.2f}); color: {ink}"
    title = escape_text(f"taken for {said}: {count:,} of {total:,}")
    return f'<td style="{style}" title="{title}">{count:,}</td>'
