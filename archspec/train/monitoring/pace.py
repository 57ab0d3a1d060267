"""How long a run still takes, from the steps and validations that this process has seen.

What comes once, as compilation does, and what was done before a run was taken up tell nothing of
what is left.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

WINDOW = 50
"""Reports by which a step is timed: a machine may become busier, or less."""


@dataclass
class Pace:
    """Times steps and validations; every `now` is in seconds of one clock."""

    epochs: int
    steps: int
    """Of an epoch."""
    validate_every: int = 1
    _timed: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=WINDOW))
    _since: tuple[int, float] | None = None
    _validated_since: float | None = None
    _validation: float = 0.0

    def begin_steps(self, done: int, now: float) -> None:
        """Steps of the run are done, and from now on they are timed."""
        if self._validated_since is not None:
            # The latest: the first of a process is compiled first.
            self._validation = now - self._validated_since
        self._since, self._validated_since = (done, now), None

    def note_steps(self, done: int, now: float) -> None:
        """So many steps of the run are done."""
        if self._since is not None and done > self._since[0]:
            before, since = self._since
            self._timed.append((done - before, now - since))
        self._since = (done, now)

    def begin_validation(self, now: float) -> None:
        """No step is taken until `begin_steps`."""
        if self._validated_since is None:
            self._since, self._validated_since = None, now

    def remaining(self, done: int) -> float | None:
        """Return the seconds that are left where so many steps are done, None where nobody
        knows.
        """
        if not self._timed:
            return None
        steps = sum(count for count, _ in self._timed)
        per_step = sum(seconds for _, seconds in self._timed) / steps
        epochs_done = done // max(self.steps, 1)
        left = self.epochs // self.validate_every - epochs_done // self.validate_every
        if self.epochs % self.validate_every:
            left += 1  # the last epoch is always validated
        if done >= self.epochs * self.steps:
            left = 0
        return (self.epochs * self.steps - done) * per_step + left * self._validation
