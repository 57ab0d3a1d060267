"""Is the network to the other nodes still there? What they tell each other goes by their storage,
which may live where the network does not: all workers would wait for each other then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from archspec.errors import Diagnostic, TrainingError
from archspec.train.distributed.nodes import Node, ask_machine, try_to_connect
from archspec.train.distributed.pulse import PULSE_FILES

SECONDS_BETWEEN_LOOKS = 5.0
FAILURES = 2
"""Tries to connect, one after the other: one alone may be a machine that is busy."""
MOST_AT_ONCE = 32
CURE = "look at the network between the nodes, then go on with --resume on all of them"


class NetworkWatch:
    """Of another node than the first: asks whether the others are reached, once its own workers
    stand still. Node 0's scheduler listens for as long as the run lasts. On any other node nobody
    need listen, so one that refuses is reached; one that did not answer when it came is asked no
    more, since a firewall may keep it from that.
    """

    def __init__(
        self,
        node: Node,
        logs: Path,
        seconds: float,
        list_addresses: Callable[[], Mapping[int, str]],
    ) -> None:
        self.node, self.logs, self.seconds = node, logs, seconds
        self.list_addresses = list_addresses
        """Gives where the other nodes are, but the first, by their ranks."""
        self._pulses: tuple[bytes, ...] = ()
        self._moved = self._looked = time.monotonic()
        self._answers: dict[int, bool] = {}
        """Whether a node answered when it came."""
        self._failures: dict[int, int] = {}

    def look(self) -> None:
        """Look, every few seconds; `seconds` of 0 never do.

        Raises:
            TrainingError: T022, nodes cannot be reached any more.
        """
        now = time.monotonic()
        if not self.seconds or now - self._looked < SECONDS_BETWEEN_LOOKS:
            return
        self._looked = now
        addresses = self.list_addresses()
        came = [rank for rank in addresses if rank not in self._answers]
        self._answers |= {rank: not why for rank, why in self._ask(came, addresses).items()}
        pulses = self._read_pulses()
        if pulses != self._pulses:
            self._pulses, self._moved = pulses, now
            self._failures.clear()
        if not pulses or now - self._moved < self.seconds:
            return
        asked = [0, *(rank for rank in addresses if self._answers[rank])]
        self._judge(self._ask(asked, addresses), addresses, now - self._moved)

    def _ask(self, ranks: Iterable[int], addresses: Mapping[int, str]) -> dict[int, str]:
        """Return why each node cannot be reached, '' where it can; all are asked at once."""
        questions: dict[int, Callable[[], str]] = {}
        for rank in ranks:
            questions[rank] = partial(try_to_connect, self.node)
            if rank > 0:
                questions[rank] = partial(ask_machine, addresses[rank], self.node.port)
        if not questions:
            return {}
        with ThreadPoolExecutor(min(len(questions), MOST_AT_ONCE)) as pool:
            answers = pool.map(lambda ask: ask(), questions.values())
            return dict(zip(questions, answers, strict=True))

    def _judge(self, found: Mapping[int, str], addresses: Mapping[int, str], still: float) -> None:
        where = {0: "", **{rank: f" ({address})" for rank, address in addresses.items()}}
        faults = []
        for rank, reason in found.items():
            self._failures[rank] = self._failures.get(rank, 0) + 1 if reason else 0
            if self._failures[rank] >= FAILURES:
                stood = f"the processes of {self.node.name} have stood still for {still:.0f} s"
                rule = f"node {rank}{where[rank]} cannot be reached any more: {reason}; {stood}"
                faults.append(Diagnostic("T022", rule, f"--master {self.node.master}", CURE))
        if faults:
            raise TrainingError(faults)

    def _read_pulses(self) -> tuple[bytes, ...]:
        found = []
        for path in sorted(self.logs.glob(PULSE_FILES)):
            try:
                found.append(path.read_bytes())
            except OSError:
                return ()
        return tuple(found)
