"""The parts of a data set: those that it has as it lies, and those that a run is made with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from itertools import chain

import numpy as np
from typing_extensions import Self

from archspec.errors import DataError, Diagnostic
from archspec.train.data.images.image_files import size_of
from archspec.train.data.sources.source import OnError, Source, raise_faults
from archspec.train.data.sources.splitting import split_by_class, split_by_rarest_label


@dataclass(frozen=True, eq=False)
class Splits:
    """Images to learn from, to choose by, and to judge with (`test`, None where there are none)."""

    train: Source
    val: Source
    test: Source | None
    classes: tuple[str, ...]
    kind: str
    listed: Splits | None = None
    """The parts before images were left out that are not whole, where any was."""

    @property
    def parts(self) -> tuple[Source, ...]:
        """The parts that there are."""
        return (self.train, self.val) if self.test is None else (self.train, self.val, self.test)

    @property
    def has_masks(self) -> bool:
        """Whether each pixel has a class, rather than each image."""
        return bool(self.train.masks)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of the data, each a line and said once."""
        return tuple(dict.fromkeys(chain.from_iterable(part.notes for part in self.parts)))

    def leave_out_broken(self) -> Self:
        """Return the parts without the images that are known not to be whole.

        Raises DataError (D003): a class has no others to learn from, or a part none at all.
        """
        if not any(part.broken for part in self.parts):
            return self
        test = None if self.test is None else self.test.leave_out_broken()
        train, val = self.train.leave_out_broken(), self.val.leave_out_broken()
        whole = replace(self, train=train, val=val, test=test, listed=self)
        faults = list(_find_lost_classes(self.train, whole.train, " to learn from"))
        faults += [_explain_nothing_whole(part) for part in whole.parts[1:] if not len(part)]
        raise_faults(faults)
        return whole

    @cached_property
    def digest(self) -> str:
        """Tell this data set from others, wherever it lies: `NAMES+CONTENTS`.

        NAMES are the classes, the labels and the names of files; CONTENTS the sizes of files, or
        the very bytes of records. Images that were left out since they are not whole count too.
        """
        return f"{self._digest_names()}+{self._digest_contents()}"

    def find_change(self, known: str) -> str:
        """Return in words what differs from a data set with a known digest, "" where nothing does.

        Earlier versions kept NAMES alone.
        """
        names, _, contents = known.partition("+")
        if names != self._digest_names():
            return "it has other classes, labels or names of files"
        if contents and known != self.digest:
            return "images have other bytes"
        return ""

    def _digest_names(self) -> str:
        digest = sha256(repr(self.classes).encode())
        for part in (self.listed or self).parts:
            digest.update(part.labels.tobytes())
            names = "/".join(file.name for file in (*part.files, *part.masks))
            digest.update(names.encode("utf-8", "surrogateescape"))  # a name may be no UTF-8
        return digest.hexdigest()

    def _digest_contents(self) -> str:
        # Not by the pixels of files, which would take minutes: sizes take 3 us a file.
        digest = sha256()
        for part in (self.listed or self).parts:
            files = (*part.files, *part.masks)
            sizes = np.fromiter(map(size_of, files), np.int64, len(files))
            digest.update(sizes.tobytes())
            if part.arrays is not None:
                digest.update(np.ascontiguousarray(part.arrays).data)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class DataSet:
    """A data set as it lies: the parts that it has, none of them split yet."""

    train: Source
    val: Source | None
    test: Source | None
    kind: str

    @property
    def faults(self) -> tuple[Diagnostic, ...]:
        """Of masks, told when their classes are known, or where they never will be."""
        return tuple(chain.from_iterable(part.faults for part in self.parts))

    @property
    def parts(self) -> tuple[Source, ...]:
        """The parts that there are."""
        every = (self.train, self.val, self.test)
        return tuple(part for part in every if part is not None)

    def split(
        self, *, val_fraction: float = 0.1, seed: int = 0, samples: int | None = None
    ) -> Splits:
        """Return the parts to train with, of the training images `samples` alone.

        Where no validation images are set apart, each class gives `val_fraction` of its training
        images for them; test images are never used so, since validation chooses the checkpoint.
        Images that are known not to be whole are left out last: which part an image is in does not
        depend on others that break, so that nothing is judged with what was learnt.
        Raises DataError (D008; D003 of `Splits.leave_out_broken`).
        """
        if not 0 < val_fraction < 1:
            raise DataError.one("D008", f"val_fraction (={val_fraction}) must be between 0 and 1")
        train, val = self.train.note_broken(), self.val and self.val.note_broken()
        if val is None:
            split = split_by_rarest_label if train.is_multi_label else split_by_class
            kept, held_out = split(train.labels, val_fraction, seed)
            if not len(held_out):
                few = "one alone" if len(train) == 1 else "none could be held out"
                raise DataError.one("D008", f"holds too few images to split: {few}", train.name)
            train, val = train.subset(kept), train.subset(held_out)
        if samples is not None:
            chosen = np.random.default_rng(seed).permutation(len(train))[:samples]
            train = train.subset(np.sort(chosen))
        test = self.test and self.test.note_broken()
        return Splits(train, val, test, train.classes, self.kind).leave_out_broken()

    def check_broken(self, on_error: OnError) -> None:
        """Raise DataError where images are not whole: of all of them (D001, D005) unless `on_error`
        is skip; D003, a class of a part has no others.
        """
        if on_error == "stop":
            broken = chain.from_iterable(part.broken for part in self.parts)
            raise_faults([fault for _, fault in broken])
        faults: list[Diagnostic] = []
        for part in self.parts:
            faults += _find_lost_classes(part, part.leave_out_broken())
        raise_faults(faults)


def _find_lost_classes(before: Source, after: Source, use: str = "") -> Iterator[Diagnostic]:
    if len(before) and not len(after):
        yield _explain_nothing_whole(before)
        return
    counts = zip(before.classes, before.count_labels(), after.count_labels(), strict=True)
    for name, had, has in counts:
        if had and not has:
            rule = f"class {name!r} has no image{use} that is whole"
            yield Diagnostic("D003", rule, before.name)


def _explain_nothing_whole(part: Source) -> Diagnostic:
    return Diagnostic("D003", "has no image that is whole", part.name)
