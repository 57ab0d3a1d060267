"""Training on several machines: what the nodes of a run tell each other.

Each node writes one file, `RUN/workers/node_K.json`, and reads those of the others: the run's
folder is what all of them share. A file is written anew every few seconds, so that one which does
not change any more is that of a node that vanished. Clocks of machines differ: only one's own
counts the seconds.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from archspec.errors import ArchspecError, Diagnostic, TrainingError
from archspec.files import write_atomic
from archspec.mindspore_versions import list_versions
from archspec.train.distributed.nodes import Node, find_own_address, is_address

TRAINS, DONE, FAILED, INTERRUPTED, FOLLOWED = "trains", "done", "failed", "interrupted", "followed"
"""What a node says of itself; `followed`: it has ended because another one did."""
ENDS = {DONE, FAILED, INTERRUPTED, FOLLOWED}
SECONDS_BETWEEN_LOOKS = 1.0
SECONDS_BETWEEN_BEATS = 5.0
SILENCE_SECONDS = 60.0
"""Without a beat a node has vanished; ending its workers keeps one silent for up to 35 s."""
PATIENCE_SECONDS = 5.0
"""That another node's end may take to be known here, or this node's workers to end as its did."""
UNTOLD = {"T011", "T012", "T013", "T024"}
"""Faults that `supervise` finds by how a process ended."""
_WORDS = {
    INTERRUPTED: "was interrupted",
    FOLLOWED: "has ended, since another one did",
    FAILED: "has failed, as its own screen tells",
}
MOST_BYTES = 1 << 18


@dataclass
class _Seen:
    """The last that was read of another node, and when, by this machine's clock."""

    report: Mapping[str, Any]
    changed: float = field(default_factory=time.monotonic)
    ended: float | None = None


class NodeReports:
    """This node's file, and what the others' say."""

    def __init__(self, folder: Path, node: Node) -> None:
        self.folder, self.node = folder, node
        self.attempt = ""
        """What tells this start of the run from others, whose files may lie there still."""
        self.others: dict[int, _Seen] = {}
        self._address = ""
        self._began = self._looked = time.monotonic()
        self._state, self._beats, self._beaten = TRAINS, 0, 0.0

    def begin(self) -> None:
        """Of node 0: forget what an earlier start left, and say that this one is here."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for stale in self.folder.glob("node_*.json"):
            with suppress(OSError):
                stale.unlink()
        self.attempt = uuid.uuid4().hex
        self.tell(TRAINS)

    def find_start(self) -> bool:
        """Of another node: return whether node 0 has begun, and note which start of the run it is.

        Raises:
            TrainingError: T022, node 0 has other versions.
        """
        first = _read(self._path_of(0))
        if first is None or first.get("state") != TRAINS:
            return False
        self.attempt = str(first.get("attempt"))
        own, theirs = list_versions(), first.get("versions")
        if theirs != own:
            rule = f"node 0 has {_name_versions(theirs)}, {self.node.name} {_name_versions(own)}"
            raise TrainingError.one("T022", rule, "", "install the same versions on all nodes")
        return True

    def refuse(self, error: ArchspecError) -> None:
        """Say why this node does not come, so that none waits for it; where another process is this
        node already, that one goes on.
        """
        mine = _read(self._path_of(self.node.rank))
        is_taken = mine is not None and mine.get("attempt") == self.attempt
        if self.attempt and not is_taken:
            self.tell(FAILED, error)

    def join(self) -> None:
        """Say that this node is here.

        Raises:
            TrainingError: T022, another process is this node already.
        """
        mine = _read(self._path_of(self.node.rank))
        if mine is not None and mine.get("attempt") == self.attempt:
            holder = f"process {mine.get('process')} on {mine.get('host')}"
            rule = f"{self.node.name} is {holder} already"
            raise TrainingError.one("T022", rule, "", "each node has its own --node-rank")
        self._read_others()
        self._address = find_own_address(self.node)
        self.tell(TRAINS)

    def tell(self, state: str, error: ArchspecError | None = None) -> None:
        """Write this node's file; where it cannot be written, the others will miss its beats."""
        self._state, self._beats, self._beaten = state, self._beats + 1, time.monotonic()
        report = {
            "attempt": self.attempt,
            "state": state,
            "beat": self._beats,
            "host": socket.gethostname(),
            "address": self._address,
            "process": os.getpid(),
            "versions": list_versions(),
            "faults": [asdict(fault) for fault in error.diagnostics] if error else [],
        }
        with suppress(OSError):
            write_atomic(self._path_of(self.node.rank), json.dumps(report) + "\n")

    def look(self) -> None:
        """Read what the others say, at most once a second.

        Raises:
            TrainingError: T023, one of them has ended, vanished, or never came.
        """
        now = time.monotonic()
        if now - self._looked < SECONDS_BETWEEN_LOOKS:
            return
        self._looked = now
        self._read_others()
        if now - self._beaten >= SECONDS_BETWEEN_BEATS:
            self.tell(self._state)
        faults = [*self._list_ended(_WORDS, PATIENCE_SECONDS), *self._list_lost()]
        if faults:
            raise TrainingError(faults)

    def list_missing(self) -> list[int]:
        """Return the nodes that have not come yet."""
        known = {self.node.rank, *self.others}
        return [rank for rank in range(self.node.nodes) if rank not in known]

    def list_addresses(self) -> dict[int, str]:
        """Return where the other nodes are that have joined and go on, by their ranks; where node 0
        is, everybody knows.
        """
        found = {}
        for rank, seen in self.others.items():
            address = seen.report.get("address")
            if seen.report["state"] == TRAINS and is_address(address):
                found[rank] = str(address)
        return found

    def explain(self, error: ArchspecError) -> ArchspecError:
        """Return why this node's workers ended: for another one's end, if that becomes known.

        What a worker tells itself is why; one that fails without a word may have lost another.
        """
        if not any(fault.code in UNTOLD for fault in error.diagnostics):
            return error
        awaited = {FAILED, INTERRUPTED} | (set() if _has_left_by_agreement(error) else {FOLLOWED})
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._list_states() & awaited and time.monotonic() < deadline:
            time.sleep(SECONDS_BETWEEN_LOOKS / 4)
            self._read_others()
        if INTERRUPTED in self._list_states():
            return TrainingError(self._list_ended({INTERRUPTED}, patience=0))
        faults = [*self._list_ended({FAILED}, patience=0)]
        faults += self._list_silent(3 * SECONDS_BETWEEN_BEATS)
        return TrainingError([*faults, *error.diagnostics]) if faults else error

    def wait_for_first(self) -> None:
        """Wait until node 0 has ended too: it alone knows whether the run is whole.

        Raises:
            TrainingError: T023, it has not ended well.
        """
        while self.node.rank > 0 and self._state_of(0) != DONE:
            time.sleep(SECONDS_BETWEEN_LOOKS / 4)
            self.look()

    def _state_of(self, rank: int) -> str:
        return self.others[rank].report["state"] if rank in self.others else ""

    def _list_states(self) -> set[str]:
        return {seen.report["state"] for seen in self.others.values()}

    def _path_of(self, rank: int) -> Path:
        return self.folder / f"node_{rank}.json"

    def _read_others(self) -> None:
        for rank in range(self.node.nodes):
            report = None if rank == self.node.rank else _read(self._path_of(rank))
            if report is None or report.get("attempt") != self.attempt:
                continue
            seen = self.others.get(rank)
            if seen is None or report != seen.report:
                seen = _Seen(report, ended=seen.ended if seen else None)
                self.others[rank] = seen
            if report["state"] in ENDS and seen.ended is None:
                seen.ended = seen.changed

    def _list_ended(self, states: Collection[str], patience: float) -> Iterator[Diagnostic]:
        """Yield what is known of nodes that ended so; of those that tell no fault of their own
        after a while alone, in which this node's workers may end as theirs did.
        """
        latest = time.monotonic() - patience
        for rank, seen in sorted(self.others.items()):
            who, state = _name_node(rank, seen.report), seen.report["state"]
            if state not in states:
                continue
            faults = _faults_of(seen.report)
            for fault in faults:
                message = f"{who}: {fault.code} {fault.message}"
                yield Diagnostic("T023", message, fault.where, fault.hint)
            if not faults and (seen.ended or latest) <= latest:
                yield Diagnostic("T023", f"{who} {_WORDS[state]}")

    def _list_lost(self) -> Iterator[Diagnostic]:
        yield from self._list_silent(SILENCE_SECONDS)
        missing = self.list_missing()
        # MindSpore's own processes wait as long, and could not say for whom.
        if missing and time.monotonic() - self._began > self.node.patience:
            names = ", ".join(map(str, missing))
            cure = "start densenet there with the same words and its own --node-rank"
            rule = f"node {names} did not come within {self.node.patience} s"
            yield Diagnostic("T023", rule, "", cure)

    def _list_silent(self, seconds: float) -> Iterator[Diagnostic]:
        for rank, seen in sorted(self.others.items()):
            silent = time.monotonic() - seen.changed
            if seen.ended is None and silent > seconds:
                rule = f"has said nothing for {silent:.0f} s: it has vanished"
                yield Diagnostic("T023", f"{_name_node(rank, seen.report)} {rule}")


def watch_together(
    watch: Callable[[Callable[[], None]], None], poll: Callable[[], None], reports: NodeReports
) -> None:
    """Watch this node's workers while all nodes go on; `watch` calls what it is given meanwhile.

    Raises:
        TrainingError: T023, another node has ended, vanished, or never came.
        ArchspecError: what `watch` raises, which the other nodes are told.
    """

    def poll_all() -> None:
        poll()
        reports.look()

    try:
        watch(poll_all)
        reports.tell(DONE)
        reports.wait_for_first()
    except (KeyboardInterrupt, SystemExit):
        reports.tell(INTERRUPTED)
        raise
    except ArchspecError as error:
        if any(fault.code == "T023" for fault in error.diagnostics):
            reports.tell(FOLLOWED)
            raise
        if _has_left_by_agreement(error):
            reports.tell(FOLLOWED)
        else:
            reports.tell(FAILED, error)
        raise reports.explain(error) from None
    except BaseException:
        reports.tell(FAILED)
        raise


def _has_left_by_agreement(error: ArchspecError) -> bool:
    """Return whether a worker ended as if told to, which nobody here did: a signal reached another
    node, and all workers saved and left behind one step.
    """
    exit_code = 128 + signal.SIGTERM  # see `stopping.StopRequest.exception`
    return any(f"ended with exit code {exit_code}" in fault.message for fault in error.diagnostics)


def _read(path: Path) -> dict[str, Any] | None:
    """Return what a node says, None where that is nothing, or half of it."""
    try:
        if path.stat().st_size > MOST_BYTES:
            return None
        report = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    is_one = isinstance(report, dict) and isinstance(report.get("state"), str)
    return report if is_one else None


def _faults_of(report: Mapping[str, Any]) -> list[Diagnostic]:
    with suppress(KeyError, TypeError):
        faults = [Diagnostic(**fields) for fields in report["faults"]]
        words = [word for fault in faults for word in asdict(fault).values()]
        return faults if all(isinstance(word, str) for word in words) else []
    return []


def _name_node(rank: int, report: Mapping[str, Any]) -> str:
    return f"node {rank} ({report.get('host')})"


def _name_versions(versions: Any) -> str:
    if not isinstance(versions, Mapping):
        return "another version"
    return ", ".join(f"{name} {number}" for name, number in versions.items())
