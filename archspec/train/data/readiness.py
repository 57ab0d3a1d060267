"""Is a data set ready to be trained on from where it lies? Its layout, its storage, its speed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import psutil

from archspec.errors import DataError, Diagnostic, format_count
from archspec.machine.finding import Finding
from archspec.train.data.datasets import open_data
from archspec.train.data.images.image_files import ImageFile
from archspec.train.data.sources.data_parts import DataSet

MOST_FILES, MOST_SECONDS = 300, 5.0
"""That are read to see how fast it goes."""
LEAST_A_SECOND = 200
"""Of one reader: fewer keep even a CPU's processes waiting that have two."""
MOST_FAULTS = 5
NETWORKS = ("nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "ceph", "glusterfs", "afs", "9p")
"""What kinds of file systems begin with that other machines serve; those of programs are called
`fuse.sshfs`."""


def examine_data(root: Path) -> Iterator[Finding]:
    """Yield what is known of a data set without looking into each of its images."""
    try:
        data = open_data(root, check=False)
    except DataError as error:
        yield from _list_faults(error.diagnostics)
        return
    yield Finding("data", "ok", _describe(data))
    yield from _list_faults(data.faults)
    yield _examine_storage(root.resolve())
    files = list(chain.from_iterable(part.files for part in data.parts))
    if files:
        yield _examine_speed(files)


def _list_faults(faults: Sequence[Diagnostic]) -> Iterator[Finding]:
    for fault in faults[:MOST_FAULTS]:
        yield Finding("data", "fault", f"{fault.where} {fault.code} {fault.message}", fault.hint)


def _describe(data: DataSet) -> str:
    words = ((data.train, "to learn from"), (data.val, "to choose by"), (data.test, "to judge by"))
    counts = [f"{len(part):,} {use}" for part, use in words if part is not None]
    classes = f", {len(data.train.classes):,} classes" if data.train.classes else ""
    return f"{data.kind}{classes}; images: {', '.join(counts)}"


def _examine_storage(root: Path) -> Finding:
    """Return which file system holds it: the one that is mounted closest above."""
    mounted = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    place = next((above for above in (root, *root.parents) if above in mounted), None)
    if place is None:
        return Finding("data storage", "note", "not known")
    kind = mounted[place]
    is_remote = kind.removeprefix("fuse.").startswith((*NETWORKS, "sshfs", "s3fs"))
    if not is_remote:
        return Finding("data storage", "ok", f"{kind} at {place}, of this machine")
    cure = "many small files are slow there: densenet data pack, or a copy on each machine"
    return Finding("data storage", "note", f"{kind} at {place}, over the network", cure)


def _examine_speed(files: Sequence[ImageFile]) -> Finding:
    """Return how fast one reader reads files here and there in the data set, undecoded."""
    order = np.random.default_rng(0).permutation(len(files))[:MOST_FILES]
    done, size, began = 0, 0, time.perf_counter()
    for number in order:
        try:
            with files[number].open("rb") as file:
                size += len(file.read())
        except OSError as error:
            return Finding("data reading", "fault", f"{files[number]}: {error.strerror or error}")
        done += 1
        if time.perf_counter() - began > MOST_SECONDS:
            break
    speed = done / max(time.perf_counter() - began, 1e-9)
    images = f"{format_count(done, 'image')} of {size / done / 1e3:,.1f} kB"
    shown = f"{images}, one after the other: {speed:,.0f} a second"
    if speed >= LEAST_A_SECOND:
        return Finding("data reading", "ok", shown)
    return Finding("data reading", "warning", shown, "more --workers, or densenet data pack")
