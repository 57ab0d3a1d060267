"""What a network gives of images beside its classes: the feature maps of its blocks, as arrays."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from typing_extensions import Unpack

from archspec.errors import DataError, TrainingError
from archspec.graph.build import build_graph
from archspec.spec.spec import Spec
from archspec.train.inference.open_trained import HowToOpen, opened
from archspec.train.inference.predict import LeaveOut, Row, ask, find_asked
from archspec.train.run.run_directory import Run
from archspec.train.trained.judging import Show
from archspec.train.trained.trained import Trained

Shapes = dict[str, tuple[int, ...]]
"""Of arrays, by their names."""
IMAGES, LOGITS, LAST = "images", "logits", "last"


def predict_features(
    target: Trained | Run | Path | str,
    images: Sequence[Path | str],
    file: Path | str,
    *,
    batch_size: int = 32,
    leave_out: LeaveOut | None = None,
    strict: bool = False,
    show: Show | None = None,
    **how: Unpack[HowToOpen],
) -> Shapes:
    """Write what a network whose spec has `features` gives of each image, as an .npz of float32;
    return the shapes of its arrays.

    `block1` (N, C, H, W) and so on are the maps of the blocks of `features`, `logits` (N, classes,
    ...) what the head gives, `last` what stands behind the last block of a network without a head,
    and `images` (N,) the names of the files, without those that are left out. Where no image can be
    read, nothing is written.

    Args:
        target: a run, a checkpoint in one, an exported file, or with `ckpt` a spec; see
            `open_trained`.
        images: files.
        file: is there whole or not at all; its parent folders are made.
        batch_size: images per step.
        leave_out, strict: see `predict`.
        show: is called after each step with the number of images that are done, and of all.
        how: other arguments of `open_trained`, such as `ckpt` and `overrides`.

    Raises:
        DataError: D001, D005, every file that is no image; D001, the file cannot be written.
        TrainingError: T014, the spec has no `features`.
        ArchspecError: see `open_trained`.
    """
    trained, files, file = opened(target, how), list(map(Path, images)), Path(file)
    names = name_outputs(trained.spec)
    if not trained.spec.features:
        rule = "gives no block's maps: its spec has no `features`"
        cure = "a run's spec.yaml with --ckpt and --set 'features=[1, 2]' has them"
        raise TrainingError.one("T014", rule, str(trained.checkpoint), cure)
    asked = find_asked(files, leave_out, strict=strict)
    rows = ask(trained, files, asked, batch_size, leave_out, has_features=True)
    rows = chain([*islice(rows, 1)], rows)  # what ends the first step leaves no draft
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=".features-") as folder:
            spool, kept = _Spool(Path(folder), names), list[str]()
            with spool:
                for done, (number, row) in enumerate(rows, start=len(files) - len(asked) + 1):
                    if row is not None:
                        spool.add(row)
                        kept.append(str(files[number]))
                    if show is not None:
                        show(done, len(files))
            if kept:
                draft = Path(folder) / "features.npz"
                spool.write(draft, kept)
                os.replace(draft, file)
    except OSError as error:
        message = f"cannot be written: {error.strerror}"
        raise DataError.one("D001", message, str(file)) from None
    return {name: (len(kept), *shape) for name, shape in spool.shapes.items()}


def name_outputs(spec: Spec) -> tuple[str, ...]:
    """Return names of what a network gives, in its order."""
    maps = [f"block{number}" for number in spec.features]
    last = LOGITS if spec.head.steps_resolved() else LAST
    return (*maps, last)[: len(build_graph(spec).outputs)]


class _Spool:
    """Arrays on the disk that grow by one image at a time: they may be larger than memory."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.files = {name: folder / name for name in names}
        self.shapes: Shapes = {}
        self.open = ExitStack()
        self.streams: Mapping[str, BinaryIO] = {}

    def __enter__(self) -> _Spool:
        streams = {}
        for name, file in self.files.items():
            streams[name] = self.open.enter_context(file.open("wb"))
        self.streams = streams
        return self

    def __exit__(self, *_: object) -> None:
        self.open.close()

    def add(self, row: Row) -> None:
        """Append what was given for one image."""
        for (name, stream), values in zip(self.streams.items(), row, strict=True):
            self.shapes[name] = values.shape
            stream.write(np.ascontiguousarray(values, "<f4").tobytes())

    def write(self, file: Path, images: Sequence[str]) -> None:
        """Write all arrays, and the names of the images that they are of."""
        layout: Any = np.lib.format  # whose functions have no types
        with zipfile.ZipFile(file, "w") as archive:
            with archive.open(f"{IMAGES}.npy", "w") as member:
                layout.write_array(member, np.array(images, str), allow_pickle=False)
            for name, shape in self.shapes.items():
                about = {"descr": "<f4", "fortran_order": False, "shape": (len(images), *shape)}
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    layout.write_array_header_1_0(member, about)
                    with self.files[name].open("rb") as stream:
                        shutil.copyfileobj(stream, member)
