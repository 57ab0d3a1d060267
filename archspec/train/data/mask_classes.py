"""Which class a value of a mask is: as a recipe says it, or as the masks themselves show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from archspec.errors import DataError, Diagnostic, format_count
from archspec.train.data.masks import LEVELS, describe_values_out_of_range
from archspec.train.data.source import DataSet, Source, raise_faults
from archspec.train.recipe.data import DataRecipe

MOST_CLASSES = LEVELS - 1
MOST_NAMED = 5  # classes that a line names


def label_data(data: DataSet, recipe: DataRecipe, known: Sequence[str] = ()) -> DataSet:
    """Return a data set of masks with its classes; see `label_masks`.

    Raises DataError: D016 too where the masks to learn from have pixels of one class alone, or
    those to choose by of none.
    """
    parts = [part for part in (data.train, data.val, data.test) if part is not None]
    labelled = iter(label_masks(parts, recipe, known))
    train = next(labelled)
    notes = [*train.notes, *_note_what_is_missing(train)]
    val, test = data.val and next(labelled), data.test and next(labelled)
    if val is not None:
        check_has_classes(val)
    if test is not None and not _has_classes(test):  # as competitions give them out
        notes.append(f"{test.name}: left aside, since no pixel of its masks has a class")
        test = None
    return replace(data, train=replace(train, notes=tuple(notes)), val=val, test=test)


def check_has_classes(source: Source) -> None:
    """Raise DataError (D016) where no pixel is there by which a network could be judged."""
    if not _has_classes(source):
        rule = f"has masks of nothing but {source.ignore_index}, which is ignored"
        raise DataError.one("D016", f"{rule} (data.ignore_index)", source.name)


def _has_classes(source: Source) -> bool:
    if source.counts is None:
        return True  # as far as is known
    return bool(np.delete(source.counts, source.ignore_index, axis=1).any())


def _note_what_is_missing(train: Source) -> Iterator[str]:
    """Yield a line about classes that nothing can be learnt of, and one about such images."""
    if train.counts is None or not len(train):
        return
    pixels = train.counts.sum(axis=0)
    of_classes = train.counts.copy()
    of_classes[:, train.ignore_index] = 0
    there = [int(value) for value in np.flatnonzero(of_classes.sum(axis=0))]
    if len(there) < 2:
        is_ignoring = bool(pixels[train.ignore_index])
        raise DataError([_explain_values(train.name, there, train.ignore_index, is_ignoring)])
    known = [*there, train.ignore_index]  # which may lie among the classes
    missing = [name for number, name in enumerate(train.classes) if number not in known]
    if missing:
        shown = ", ".join(missing[:MOST_NAMED]) + (", ..." if len(missing) > MOST_NAMED else "")
        count = f"{len(missing)} of {len(train.classes)} classes"
        yield f"{train.name}: {count} have no pixel to learn from: {shown}"
    empty = np.flatnonzero(of_classes.sum(axis=1) == 0)
    if len(empty):
        count = format_count(len(empty), "image")
        yield f"{train.name}: {count} without a pixel of any class, first {train.masks[empty[0]]}"


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
    if len(classes) > MOST_CLASSES:
        rule = f"is judged by {len(classes):,} classes; of masks at most {MOST_CLASSES} are told"
        found.append(Diagnostic("D016", rule, sources[0].name))
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
