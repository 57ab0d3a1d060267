"""What is in a data set, and whether training would start on it: every image is decoded."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from archspec.errors import ArchspecError, DataError, Diagnostic
from archspec.spec.override import Overrides
from archspec.train.data.datasets import open_data
from archspec.train.data.facts import Facts, read_facts
from archspec.train.data.images.image_files import ignore_warnings, reason_of
from archspec.train.data.inputs import name_by_recipe, split_by_recipe
from archspec.train.data.kinds import MASKS
from archspec.train.data.recipe_fit import check_recipe
from archspec.train.data.sources.data_parts import DataSet
from archspec.train.data.sources.overlap import are_compared, compare_parts, find_equal, judge_twins
from archspec.train.data.sources.source import Source
from archspec.train.recipe.choice import choose_recipe
from archspec.train.recipe.recipe import Recipe, load_recipe

BATCH = 256
"""Images that are under way at once."""
Finding = Facts | Diagnostic


@dataclass(frozen=True)
class Report:
    """What is in a data set; `faults` are what training would not start or end for."""

    name: str
    kind: str
    recipe: str
    counts: Mapping[str, Mapping[str, int]]
    """Images of each class, by part."""
    images: Mapping[str, int]
    """By part."""
    sizes: Mapping[str, tuple[int, int]]
    """(width, height): min, median and max of each."""
    modes: Mapping[str, int]
    """How many images are grey, colour, 16 bit and so on."""
    mean: tuple[float, ...]
    """Of each channel of the training images, in 0-255 units; one value where all are grey."""
    std: tuple[float, ...]
    highest: int
    """The largest value of grey images of 16 bits, 0 where there are none."""
    broken: tuple[tuple[str, str], ...]
    """Images that are not whole, and why."""
    duplicates: tuple[tuple[str, ...], ...]
    """Images with equal bytes."""
    odd: tuple[tuple[str, str], ...]
    """Images that are hardly meant, and why."""
    notes: tuple[str, ...]
    faults: tuple[Diagnostic, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as `densenet data check --json` prints them."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        values["broken"] = _name_pairs(self.broken)
        values["odd"] = _name_pairs(self.odd)
        values["faults"] = [str(fault) for fault in self.faults]
        return values


def check_data(
    data_dir: Path | None,
    recipe: str | Path | None = None,
    overrides: Overrides = (),
    *,
    show: Callable[[int, int], None] = lambda done, total: None,
) -> Report:
    """Return what is in a data set, and all that is wrong with it.

    Args:
        data_dir: as of `open_data`.
        recipe: what it is to be trained with; where absent, what `train` would choose.
        overrides: of the recipe, such as `batch_size=8`.
        show: is called with the number of images that were looked at, and of all.

    Raises:
        ArchspecError: it cannot be opened at all; or the recipe is wrong.
    """
    data = open_data(data_dir, check=False, on_error="keep")
    if data.kind == MASKS:
        data = open_data(data_dir, on_error="keep")  # which counts the values of masks
    named = None if recipe is None else str(recipe)
    choice = choose_recipe(data, named=named, weights="", device_target="CPU")
    loaded = load_recipe(choice.name, overrides)
    parts = _parts_of(data)
    found = list(_look_at_all(parts, loaded.data.white_level, show))
    groups = find_equal(list(parts.values()))
    faults, notes = _judge(data, loaded, found, groups)
    # Faults tell of names that do not fit, too; then classes are called as the data call them.
    shown = parts
    if not faults:
        shown = {part: name_by_recipe(loaded, source) for part, source in parts.items()}
    counts = {part: _count(source) for part, source in shown.items()}
    images = {part: len(source) for part, source in parts.items()}
    facts = _sort_facts(parts, found)
    every = list(chain.from_iterable(facts.values()))
    modes = Counter(fact.kind for fact in every)
    mean, std = _find_mean(facts[next(iter(parts))])
    return Report(
        name=str(data_dir) if data_dir else data.train.name,
        kind=data.kind,
        recipe=loaded.name,
        counts=counts,
        images=images,
        sizes=_find_sizes(every),
        modes=dict(modes.most_common()),
        mean=mean,
        std=std,
        highest=max((fact.highest for fact in every), default=0),
        broken=tuple(_list_broken(parts, found)),
        duplicates=tuple(_list_duplicates(parts, groups)),
        odd=tuple(_list_odd(parts, found)),
        notes=notes,
        faults=faults,
    )


def _parts_of(data: DataSet) -> dict[str, Source]:
    named = {"train": data.train, "val": data.val, "test": data.test}
    return {name: part for name, part in named.items() if part is not None}


Place = tuple[str, int]
"""The name of a part, and the number of an image in it."""


def _look_at_all(
    parts: Mapping[str, Source], white_level: int, show: Callable[[int, int], None]
) -> Iterator[tuple[Place, Finding]]:
    """Yield what each image is, in order, or what is wrong with it."""
    places = [(name, i) for name, source in parts.items() for i in range(len(source))]
    show(0, len(places))
    # Pillow and NumPy leave Python's lock to others while they work.
    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    try:
        with ignore_warnings():
            for start in range(0, len(places), BATCH):
                some = places[start : start + BATCH]
                looks = [pool.submit(_look_at, parts[name], i, white_level) for name, i in some]
                yield from zip(some, [look.result() for look in looks], strict=True)
                show(start + len(some), len(places))
    finally:
        pool.shutdown(cancel_futures=True)  # Ctrl-C waits for no image that was not begun


def _look_at(source: Source, index: int, white_level: int) -> Finding:
    if source.arrays is not None:
        return _describe_array(source.arrays[index])
    try:
        return read_facts(source.files[index], white_level)
    except DataError as error:
        return error.diagnostics[0]
    except OSError as error:
        return Diagnostic("D001", f"cannot be read: {reason_of(error)}", source.name_of(index))


def _describe_array(pixels: npt.NDArray[np.uint8]) -> Facts:
    height, width, channels = pixels.shape
    values = pixels.reshape(-1, channels).astype(np.float64)
    oddities = ("has one colour only",) if (values == values[0]).all() else ()
    return Facts(
        width,
        height,
        "grey" if channels == 1 else "colour",
        np.broadcast_to(values.mean(axis=0), 3),
        np.broadcast_to((values**2).mean(axis=0), 3),
        oddities=oddities,
    )


# ---- what training would say


def _judge(
    data: DataSet,
    recipe: Recipe,
    found: Sequence[tuple[Place, Finding]],
    groups: Sequence[Sequence[tuple[int, int]]],
) -> tuple[tuple[Diagnostic, ...], tuple[str, ...]]:
    """Return the faults that training would end for, and the notes that it would begin with."""
    names = list(_parts_of(data))
    data = _with_broken(data, found)
    faults: list[Diagnostic] = []
    notes: list[str] = []
    for number, name in enumerate(names[1:], start=1):
        twins = _find_twins(groups, number)
        part = _parts_of(data)[name]
        shared = judge_twins(data.train, part, twins)
        told = shared.faults
        if not are_compared(data.train, part):  # training would not know of all of them
            told = compare_parts(data.train, part).faults
            notes += [str(fault) for fault in shared.faults if fault not in told]
        faults += told
        notes += shared.notes
    notes += [note for part in _parts_of(data).values() for note in part.notes]
    try:
        data.check_broken(recipe.data.on_error)
        splits = split_by_recipe(recipe, data)
        notes += splits.notes
        check_recipe(recipe, splits, classes=len(splits.classes))
    except ArchspecError as error:
        faults += error.diagnostics
    return tuple(faults), tuple(dict.fromkeys(notes))


def _with_broken(data: DataSet, found: Sequence[tuple[Place, Finding]]) -> DataSet:
    broken: dict[str, list[tuple[int, Diagnostic]]] = {"train": [], "val": [], "test": []}
    for (part, index), finding in found:
        if isinstance(finding, Diagnostic):
            broken[part].append((index, finding))
    return replace(
        data,
        train=replace(data.train, broken=tuple(broken["train"])),
        val=data.val and replace(data.val, broken=tuple(broken["val"])),
        test=data.test and replace(data.test, broken=tuple(broken["test"])),
    )


def _find_twins(groups: Sequence[Sequence[tuple[int, int]]], number: int) -> dict[int, int]:
    """The images of a part that are training images, each with the first of those."""
    twins = {}
    for group in groups:
        learnt = [index for part, index in group if part == 0]
        if learnt:
            twins.update({index: learnt[0] for part, index in group if part == number})
    return twins


# ---- figures


def _sort_facts(
    parts: Iterable[str], found: Iterable[tuple[Place, Finding]]
) -> dict[str, list[Facts]]:
    """What the images are that can be read, by part."""
    facts: dict[str, list[Facts]] = {name: [] for name in parts}
    for (part, _), fact in found:
        if isinstance(fact, Facts):
            facts[part].append(fact)
    return facts


def _count(source: Source) -> dict[str, int]:
    """Images of each class; of masks, those in which a value occurs, by the value."""
    if source.counts is not None:
        images = (source.counts > 0).sum(axis=0)
        return {str(value): int(images[value]) for value in np.flatnonzero(images)}
    return dict(zip(source.classes, source.count_labels().tolist(), strict=True))


def _find_sizes(every: Sequence[Facts]) -> dict[str, tuple[int, int]]:
    if not every:
        return {}
    sizes = np.array([(fact.width, fact.height) for fact in every])
    rows = {"min": sizes.min(axis=0), "median": np.median(sizes, axis=0), "max": sizes.max(axis=0)}
    return {name: (int(row[0]), int(row[1])) for name, row in rows.items()}


def _find_mean(every: Sequence[Facts]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Each image counts the same, since all are resized to one size."""
    if not every:
        return (), ()
    mean = np.mean([fact.mean for fact in every], axis=0)
    square = np.mean([fact.square for fact in every], axis=0)
    std = np.sqrt(np.maximum(square - mean**2, 0))
    channels = 3
    if all(fact.is_colourless for fact in every):
        channels = 1
    return _round(mean[:channels]), _round(std[:channels])


def _round(values: npt.NDArray[np.float64]) -> tuple[float, ...]:
    return tuple(round(float(value), 2) for value in values)


def _list_broken(
    parts: Mapping[str, Source], found: Iterable[tuple[Place, Finding]]
) -> Iterator[tuple[str, str]]:
    for (part, index), finding in found:
        if isinstance(finding, Diagnostic):
            yield parts[part].name_of(index), finding.message


def _list_odd(
    parts: Mapping[str, Source], found: Iterable[tuple[Place, Finding]]
) -> Iterator[tuple[str, str]]:
    for (part, index), finding in found:
        if isinstance(finding, Facts) and finding.oddities:
            yield parts[part].name_of(index), ", ".join(finding.oddities)


def _list_duplicates(
    parts: Mapping[str, Source], groups: Iterable[Sequence[tuple[int, int]]]
) -> Iterator[tuple[str, ...]]:
    sources = list(parts.values())
    for group in groups:
        yield tuple(sources[part].name_of(index) for part, index in group)


def _name_pairs(pairs: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"image": image, "reason": reason} for image, reason in pairs]
