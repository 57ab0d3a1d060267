"""Is the network to node 0 still there? What the nodes tell each other goes by their storage, which
may live where the network does not: all workers would wait for each other then.
"""

from __future__ import annotations

import time
from pathlib import Path

from archspec.errors import TrainingError
from archspec.train.distributed.nodes import Node, try_to_connect
from archspec.train.distributed.pulse import PULSE_FILES

SECONDS_BETWEEN_LOOKS = 5.0
FAILURES = 2
"""Tries to connect, one after the other: one alone may be a machine that is busy."""


class MasterWatch:
    """Of another node than the first: asks whether node 0 is reached, once its own workers stand
    still. Its scheduler listens for as long as the run lasts.
    """

    def __init__(self, node: Node, logs: Path, seconds: float) -> None:
        self.node, self.logs, self.seconds = node, logs, seconds
        self._pulses: tuple[bytes, ...] = ()
        self._moved = self._looked = time.monotonic()
        self._failures = 0

    def look(self) -> None:
        """Look, every few seconds; `seconds` of 0 never do.

        Raises:
            TrainingError: T022, node 0 cannot be reached any more.
        """
        now = time.monotonic()
        if not self.seconds or now - self._looked < SECONDS_BETWEEN_LOOKS:
            return
        self._looked = now
        pulses = self._read_pulses()
        if pulses != self._pulses:
            self._pulses, self._moved, self._failures = pulses, now, 0
        if not pulses or now - self._moved < self.seconds:
            return
        reason = try_to_connect(self.node)
        self._failures = self._failures + 1 if reason else 0
        if self._failures == FAILURES:
            still = (
                f"the processes of {self.node.name} have stood still for {now - self._moved:.0f} s"
            )
            rule = f"node 0 cannot be reached any more: {reason}; {still}"
            cure = "look at the network between the nodes, then go on with --resume on all of them"
            raise TrainingError.one("T022", rule, f"--master {self.node.master}", cure)

    def _read_pulses(self) -> tuple[bytes, ...]:
        found = []
        for path in sorted(self.logs.glob(PULSE_FILES)):
            try:
                found.append(path.read_bytes())
            except OSError:
                return ()
        return tuple(found)
