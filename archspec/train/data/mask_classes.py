"""Which class a value of a mask is: as a recipe says it, or as the masks themselves show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from archspec.errors import Diagnostic
from archspec.train.data.masks import LEVELS, describe_values_out_of_range
from archspec.train.data.source import DataSet, Source, raise_faults
from archspec.train.recipe.data import DataRecipe

MOST_CLASSES = LEVELS - 1


def label_data(data: DataSet, recipe: DataRecipe, known: Sequence[str] = ()) -> DataSet:
    """Return a data set of masks with its classes; see `label_masks`."""
    parts = [part for part in (data.train, data.val, data.test) if part is not None]
    labelled = iter(label_masks(parts, recipe, known))
    return replace(
        data,
        train=next(labelled),
        val=data.val and next(labelled),
        test=data.test and next(labelled),
    )


def label_masks(
    sources: Sequence[Source],
    recipe: DataRecipe,
    known: Sequence[str] = (),
) -> list[Source]:
    """Return images whose masks have classes: those that the recipe names, else the known ones,
    else numbers up to the highest that occurs.

    Args:
        sources: images with masks.
        recipe: names the classes, and the value that is none.
        known: the classes of a network that is trained already.

    Raises DataError: what is wrong with the masks themselves, and D016 for each with values that
    are neither a class nor ignored, all at once.
    """
    found, ignored = [fault for source in sources for fault in source.faults], recipe.ignore_index
    classes = tuple(recipe.classes or known) or _classes_that_occur(sources, ignored, found)
    for source in sources:
        found.extend(_find_values_out_of_range(source, len(classes), ignored))
    raise_faults(found)
    labelled = []
    for source in sources:
        labelled.append(replace(source, classes=classes, ignore_index=ignored, faults=()))
    return labelled


def _classes_that_occur(
    sources: Sequence[Source], ignored: int, faults: list[Diagnostic]
) -> tuple[str, ...]:
    """Numbers as names; what tells none of them is added to the faults."""
    counts = [source.counts for source in sources if source.counts is not None]
    if len(counts) < len(sources):
        rule = "holds too many masks to look for their classes"
        faults.append(Diagnostic("D016", rule, sources[0].name, "name them: data.classes"))
        return ()
    occurs = np.any([rows.any(axis=0) for rows in counts], axis=0)
    values = [value for value in np.flatnonzero(occurs) if value != ignored]
    number = int(max(values, default=-1)) + 1
    # Of masks that are missing or broken the classes are missing too.
    if number > MOST_CLASSES or (number < 2 and not faults):
        faults.append(_explain_values(sources[0].name, values, ignored, bool(occurs[ignored])))
    return tuple(map(str, range(number)))


def _explain_values(
    name: str, values: Sequence[int], ignored: int, is_ignoring: bool
) -> Diagnostic:
    """The fault of masks whose values are no classes: of white on black, mostly."""
    shown = ", ".join(map(str, values)) or "none"
    rule = f"has masks of one class only: {shown}"
    if is_ignoring:
        rule += f", and {ignored}, which is ignored (data.ignore_index)"
    if len(values) and max(values) >= MOST_CLASSES:
        rule = f"has masks with values up to {max(values)}; at most {MOST_CLASSES} classes are told"
    return Diagnostic("D016", rule, name, "two classes are written as the values 0 and 1")


def _find_values_out_of_range(source: Source, classes: int, ignored: int) -> Iterator[Diagnostic]:
    if source.counts is None or not classes:
        return
    for file, counts in zip(source.masks, source.counts, strict=True):
        rule = describe_values_out_of_range(counts, classes, ignored)
        if rule:
            yield Diagnostic("D016", rule, str(file))
