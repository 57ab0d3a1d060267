"""Which class a value of a mask is: as a recipe says it, or as the masks themselves show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from archspec.errors import DataError, Diagnostic, TrainingError, format_count
from archspec.spec.spec import Spec
from archspec.train.data.sources.data_parts import DataSet
from archspec.train.data.sources.mask_values import LEVELS, MaskValues
from archspec.train.data.sources.source import Source, raise_faults
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


def check_fit_masks(spec: Spec) -> None:
    """Raise TrainingError (T014) where a network tells more classes than masks do."""
    count = spec.head.num_classes
    if count > MOST_CLASSES:
        rule = f"num_classes (={count:,}) must be at most {MOST_CLASSES}: masks tell no more"
        raise TrainingError.one("T014", rule, spec.place(("head", "num_classes"), ("head",)))


def check_has_classes(source: Source) -> None:
    """Raise DataError (D016) where no pixel is there by which a network could be judged."""
    if not _has_classes(source):
        rule = f"has masks of nothing but {source.mask_values.ignored}, which is ignored"
        raise DataError.one("D016", f"{rule} (data.ignore_index)", source.name)


def _has_classes(source: Source) -> bool:
    if source.counts is None:
        return True  # as far as is known
    return bool(source.mask_values.count_classes(source.counts).any())


def _note_what_is_missing(train: Source) -> Iterator[str]:
    """Yield a line about classes that nothing can be learnt of, and one about such images."""
    if train.counts is None or not len(train):
        return
    known, pixels = train.mask_values, train.counts.sum(axis=0)
    of_classes = known.count_classes(train.counts)
    there = np.array(known.of_classes)[of_classes.any(axis=0)]
    if len(there) < 2:
        raise DataError([_explain_one_class(train.name, there.tolist(), known, pixels)])
    yield from note_missing_classes(train, "learn from")
    empty = np.flatnonzero(of_classes.sum(axis=1) == 0)
    if len(empty):
        count = format_count(len(empty), "image")
        yield f"{train.name}: {count} without a pixel of any class, first {train.masks[empty[0]]}"


def note_missing_classes(source: Source, use: str) -> Iterator[str]:
    """Yield a line about classes of which no mask has a pixel, to `learn from` or to `judge by`."""
    if source.counts is None:
        return
    known, missing = source.mask_values, []
    is_there = known.count_classes(source.counts).any(axis=0)
    for value, name, is_found in zip(known.of_classes, source.classes, is_there, strict=True):
        if not is_found and value != known.ignored:  # which may lie among the classes
            missing.append(name)
    if missing:
        shown = ", ".join(missing[:MOST_NAMED]) + (", ..." if len(missing) > MOST_NAMED else "")
        count = f"{len(missing)} of {len(source.classes)} classes"
        yield f"{source.name}: {count} have no pixel to {use}: {shown}"


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
    found = [fault for source in sources for fault in source.faults]
    classes = tuple(recipe.classes or known) or _list_classes(sources, recipe, found)
    listed = recipe.mask_values
    if listed is not None and len(listed) != len(classes):
        rule = f"has {len(listed)} values (data.mask_values) for {len(classes):,} classes"
        found.append(Diagnostic("D016", rule, sources[0].name))
    if len(classes) > MOST_CLASSES:
        rule = f"is judged by {len(classes):,} classes; of masks at most {MOST_CLASSES} are told"
        found.append(Diagnostic("D016", rule, sources[0].name))
    values = MaskValues.of_recipe(recipe, len(classes))
    for source in sources:
        found.extend(_find_values_out_of_range(source, values))
    raise_faults(found)
    labelled = []
    for source in sources:
        labelled.append(replace(source, classes=classes, mask_values=values, faults=()))
    return labelled


def _list_classes(
    sources: Sequence[Source], recipe: DataRecipe, faults: list[Diagnostic]
) -> tuple[str, ...]:
    """Values as names; what tells none of them is added to the faults."""
    if recipe.mask_values is not None:
        return tuple(map(str, recipe.mask_values))
    counts = [source.counts for source in sources if source.counts is not None]
    if len(counts) < len(sources):
        rule = "holds too many masks to look for their classes"
        faults.append(Diagnostic("D016", rule, sources[0].name, "name them: data.classes"))
        return ()
    occurs = np.sum([rows.sum(axis=0) for rows in counts], axis=0)
    known = MaskValues.of_recipe(recipe, classes=0)
    values = [int(value) for value in np.flatnonzero(occurs) if value != known.ignored]
    number = max(values, default=-1) + 1
    # Of masks that are missing or broken the classes are missing too.
    if number > MOST_CLASSES:
        rule = f"has masks with values up to {number - 1}; at most {MOST_CLASSES} classes are told"
        faults.append(Diagnostic("D016", rule, sources[0].name, _suggest_values(occurs)))
    elif number < 2 and not faults:
        faults.append(_explain_one_class(sources[0].name, values, known, occurs))
    return tuple(map(str, range(number)))


def _explain_one_class(
    name: str, there: Sequence[int], known: MaskValues, pixels: npt.NDArray[np.int64]
) -> Diagnostic:
    """The fault of masks whose values are no classes: of white on black, mostly.

    Args:
        name: where they are.
        there: the values of classes that occur.
        known: what is known of values.
        pixels: of each value (256,).
    """
    rule = f"has masks of one class only: {', '.join(map(str, there)) or 'none'}"
    if known.ignored is not None and pixels[known.ignored]:
        rule += f", and {known.ignored}, which is ignored (data.ignore_index)"
    return Diagnostic("D016", rule, name, "" if known.are_listed else _suggest_values(pixels))


def _suggest_values(pixels: npt.NDArray[np.int64]) -> str:
    values = np.flatnonzero(pixels).tolist()
    if not 2 <= len(values) <= MOST_NAMED:
        values = [0, LEVELS - 1]
    return f"classes are the values 0, 1, ..., or those of data.mask_values, such as {values}"


def _find_values_out_of_range(source: Source, known: MaskValues) -> Iterator[Diagnostic]:
    if source.counts is None or not known.of_classes:
        return
    for file, counts in zip(source.masks, source.counts, strict=True):
        rule = known.describe_others(counts)
        if rule:
            yield Diagnostic("D016", rule, str(file))
