"""Whether the parts of a data set are apart: nothing is judged with what was learnt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain

from archspec.errors import Diagnostic, format_count
from archspec.train.data.images.image_files import MAX_CHECKED, ImageFile, size_of
from archspec.train.data.sources.source import Source

MAX_COMPARED = 50
"""Images of a class whose contents are compared where there are very many: of other images the
first differs already."""
MAX_SHARED = 0.1
"""Share of a class's images to judge by that may be training images too: public data sets have a
few such, and are compared by with them."""
BLOCK = 1 << 20
_CURE = "keep them apart; where there is no val folder, a share of the training images is held out"


@dataclass(frozen=True)
class Shared:
    """What is to be said of images that two parts share."""

    faults: tuple[Diagnostic, ...] = ()
    notes: tuple[str, ...] = ()


def compare_parts(train: Source, other: Source | None) -> Shared:
    """Return what two parts of files share: a D011 for each class of whose images in the other part
    more than a tenth are training images, a note where fewer are.

    They may be links or copies, under any name. Of very many images only those are compared that
    have the names of training images.
    """
    if other is None or not train.files or not other.files:
        return Shared()
    if not are_compared(train, other):
        return Shared(tuple(_find_same_classes(train, other)))
    twins = {}
    for group in find_equal([train, other]):
        learnt = [index for part, index in group if part == 0]
        if learnt:
            twins.update({index: learnt[0] for part, index in group if part == 1})
    return judge_twins(train, other, twins)


def are_compared(train: Source, other: Source) -> bool:
    """Return whether training compares all images of two parts: files, unless there are very many.

    Records are compared by `data check` alone: public ones have repeats that nobody can move.
    """
    return bool(train.files and other.files) and len(train) + len(other) <= MAX_CHECKED


def judge_twins(train: Source, other: Source, twins: Mapping[int, int]) -> Shared:
    """Return what is to be said of images of the other part, each with an equal one of training."""
    faults, told = [], set()
    for name, members in _group_by_class(train, other):
        shared = [index for index in members if index in twins]
        if not shared or len(shared) <= MAX_SHARED * len(members):
            continue
        told.update(shared)
        message = f"{name} has the same images as in {train.name}"
        if len(shared) < len(members):
            example = _describe_pair(train, other, shared[0], twins)
            message = f"{name}: {len(shared)} of {len(members)} images are training images"
            message += f" too, first {example}"
        faults.append(Diagnostic("D011", message, other.name, _CURE))
    few = [index for index in sorted(twins) if index not in told]
    if not few:
        return Shared(tuple(faults))
    count = format_count(len(few), "image")
    example = _describe_pair(train, other, few[0], twins)
    verb = "is a training image" if len(few) == 1 else "are training images"
    return Shared(tuple(faults), (f"{other.name}: {count} {verb} too, first {example}",))


def _describe_pair(train: Source, other: Source, index: int, twins: Mapping[int, int]) -> str:
    return f"{other.name_of(index)} is {train.name_of(twins[index])}"


def _group_by_class(train: Source, other: Source) -> Iterator[tuple[str, list[int]]]:
    """The images of the other part, named; those with masks are of no class of their own."""
    if train.masks:
        yield "the part", list(range(len(other)))
    for label, name in enumerate(() if train.masks else train.classes):
        yield f"class {name!r}", _members_of(other, label)


def _members_of(source: Source, label: int) -> list[int]:
    if source.is_multi_label:
        return [int(index) for index in source.labels[:, label].nonzero()[0]]
    return [int(index) for index in (source.labels == label).nonzero()[0]]


# ---- equal contents


def find_equal(parts: Sequence[Source]) -> list[list[tuple[int, int]]]:
    """Return groups of images with equal bytes, each (number of the part, number of the image)."""
    by_size: dict[int, list[tuple[int, int]]] = {}
    for part, source in enumerate(parts):
        for index in range(len(source)):
            by_size.setdefault(_size_of(source, index), []).append((part, index))
    # Most files differ in their sizes already.
    alike = [members for size, members in by_size.items() if len(members) > 1 and size >= 0]
    groups: dict[bytes, list[tuple[int, int]]] = {}
    for part, index in chain.from_iterable(alike):
        digest = _digest_of(parts[part], index)
        if digest is not None:
            groups.setdefault(digest, []).append((part, index))
    return [group for group in groups.values() if len(group) > 1]


def _size_of(source: Source, index: int) -> int:
    if source.arrays is not None:
        return 0  # all of them have one
    return size_of(source.files[index])


def _digest_of(source: Source, index: int) -> bytes | None:
    if source.arrays is not None:
        return sha256(source.arrays[index].tobytes()).digest()
    return _digest_of_file(source.files[index])


def _digest_of_file(image: ImageFile) -> bytes | None:
    digest = sha256()
    try:
        with image.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except (OSError, ValueError):  # of a file that cannot be read it is said elsewhere
        return None
    return digest.digest()


# ---- of very many images


def _find_same_classes(train: Source, other: Source) -> Iterator[Diagnostic]:
    """Yield a D011 for each class of equal names in equal number, and of images spread over all of
    them equal contents.
    """
    for label, name in enumerate(train.classes):
        learnt = [train.files[index] for index in _members_of(train, label)]
        others = [other.files[index] for index in _members_of(other, label)]
        if _are_same(learnt, others):
            message = f"class {name!r} has the same images as in {train.name}"
            yield Diagnostic("D011", message, other.name, _CURE)


def _are_same(some: Sequence[ImageFile], others: Sequence[ImageFile]) -> bool:
    names = [file.name for file in some]
    if not some or names != [file.name for file in others]:
        return False
    step = max(1, len(some) // MAX_COMPARED)
    pairs = zip(some[::step], others[::step], strict=True)
    return all(_is_same(one, other) for one, other in pairs)


def _is_same(one: ImageFile, other: ImageFile) -> bool:
    if size_of(one) != size_of(other):
        return False
    digest = _digest_of_file(one)
    return digest is not None and digest == _digest_of_file(other)
