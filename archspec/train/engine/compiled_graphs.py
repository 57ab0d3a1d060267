"""Graphs that MindSpore compiled, as files: kept whole or not at all, and given back to it.

MindSpore keeps what it compiles in one folder a process, by the number of the compilation, and
asks little of what it finds there: another wiring, weight decay or smoothing is ignored without a
word. So each process has a folder that nobody else has, and in it lies one graph at a time, the
right one.

Imports mindspore where something is compiled; call `archspec.runtime.prepare` before.
"""

from __future__ import annotations

import atexit
import os
import tempfile
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from archspec.mindspore_versions import import_compiler
from archspec.train.distributed.worker_group import get_rank

MOST_BYTES = 512 * 1024 * 1024
"""Of all files together; densenet121 takes 3 MB. Those that were not used for longest go first."""
MAGIC = b"archspec compiled graph 1\n"


def read_graph(path: Path) -> bytes | None:
    """Return the graph in a file, None where there is no whole one; a damaged one is dropped."""
    try:
        # A pipe in its place would be waited for without end.
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            return None
        data = path.read_bytes()
    except OSError:
        return None
    size = len(MAGIC) + sha256().digest_size
    graph = data[size:]
    if data[:size] == MAGIC + sha256(graph).digest():
        with suppress(OSError):
            os.utime(path)
        return graph
    with suppress(OSError):
        path.unlink()
    return None


def write_graph(path: Path, graph: bytes) -> None:
    """Under a name that no other process has, then renamed: there whole or not at all."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
        try:
            file.write(MAGIC + sha256(graph).digest() + graph)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def drop_oldest(newest: Path) -> int:
    """Drop files until the rest fits; return how many whole ones."""
    found = []
    for entry in os.scandir(newest.parent):
        with suppress(OSError):  # another process may drop it
            found.append((entry.stat().st_mtime, entry.stat().st_size, entry.path))
    total, dropped = sum(size for _, size, _ in found), 0
    for _, size, path in sorted(found):
        if total <= MOST_BYTES or path == str(newest):
            break
        with suppress(OSError):
            os.unlink(path)
            dropped += 1
        total -= size
    return dropped


class Desk:
    """This process's own folder, in which MindSpore looks for graphs and leaves them.

    It takes one for all of a process's life, and looks for the graph of the n-th compilation. The
    graph of a call lies there under that number for as long as the call lasts: whatever number
    MindSpore asks for, it finds the right one or none.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.number = folder, 0
        self.is_blind = False
        """Whether MindSpore has compiled something: it looks at no graph any more, and says
        nothing of it."""
        self.graphs = folder / f"rank_{get_rank()}" / "graph_cache"
        self.graphs.mkdir(parents=True)
        # MindSpore puts the role of a process of msrun before its files' names.
        self.prefix = os.environ.get("MS_ROLE", "")
        self.check = self.graphs / f"{self.prefix}compile_dependency.hash"
        self.entry = folder / "entry.py"
        # MindSpore asks in its own way whether the program has changed, by this file instead.
        self.entry.write_text("# what a graph follows from is in its name\n")

    def run(self, cell: Any, inputs: tuple[Any, ...], held: bytes | None) -> tuple[Any, Any]:
        """Return what a call gives, and what to keep of its compilation, None where nothing."""
        import mindspore as ms

        if held is not None and self.is_blind:
            return cell(*inputs), None
        try:
            placed = self._place(held)
        except OSError:  # no space, which costs time alone
            return cell(*inputs), None
        api = import_compiler()
        program = api.entry_script_path
        api.entry_script_path = str(self.entry)
        ms.set_context(enable_compile_cache=True, compile_cache_path=str(self.folder))
        try:
            result = cell(*inputs)
        finally:
            ms.set_context(enable_compile_cache=False)
            api.entry_script_path = program
            made = self._take(placed)
        return result, made

    def _place(self, held: bytes | None) -> bytes:
        """Lay what is kept where MindSpore looks for it; return the graph."""
        if held is None:
            return b""
        check, _, graph = held.partition(b"\n")
        self.check.unlink(missing_ok=True)  # MindSpore leaves files that nobody may write
        self.check.write_bytes(check)
        placed = self.graphs / f"{self.prefix}compile_cache_{self.number}.mindir"
        placed.write_bytes(graph)
        return graph

    def _take(self, placed: bytes) -> bytes | None:
        """Take all graphs away, and return the one that was compiled, if it is one alone."""
        number, made, check = self.number + 1, [], b""
        with suppress(OSError):  # nothing was compiled, or nothing could be written
            check = self.check.read_bytes()
        for file in self.graphs.glob(f"{self.prefix}compile_cache_*.mindir"):
            graph = file.read_bytes()
            file.unlink()
            if graph != placed:
                made.append(graph)
                self.is_blind = True
                number = int(file.stem.rpartition("_")[2]) + 1
        self.number = number
        return check + b"\n" + made[0] if check and len(made) == 1 else None


@cache
def open_desk() -> Desk | None:
    """Return this process's; None where it can have none."""
    import mindspore as ms

    if import_compiler() is None or ms.get_context("enable_compile_cache"):
        return None  # a version that is not known, or whoever calls us keeps graphs already
    try:
        folder = tempfile.TemporaryDirectory(prefix="archspec-")
        atexit.register(folder.cleanup)
        return Desk(Path(folder.name))
    except OSError:
        return None
