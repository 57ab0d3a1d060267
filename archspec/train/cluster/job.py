"""What a scheduler is to run, whichever it is, and the shell's lines that all of them share."""

from __future__ import annotations

import shlex
from dataclasses import dataclass


@dataclass(frozen=True)
class Job:
    """A training on one or several machines."""

    name: str
    words: tuple[str, ...]
    """What stands behind `densenet train`, without what the scheduler says of machines."""
    out: str | None
    """The run directory that the words name; None where they name none."""
    resumes: bool = False
    """Whether the words go on with a run, and begin none."""
    repeated: tuple[str, ...] = ()
    """Those of the words that no run keeps, so that each start has to say them."""
    nodes: int = 1
    devices: int = 1
    """On each machine, as the next three."""
    cpus: int | None = None
    memory: str | None = None
    resource: str | None = None
    """What the scheduler calls a device."""

    @property
    def size(self) -> str:
        """How large it is, in words."""
        processes = "1 process" if self.devices == 1 else f"{self.devices} processes"
        return processes if self.nodes == 1 else f"{self.nodes} machines, {processes} on each"

    def choose_words(self, default_out: str) -> list[str]:
        """Return lines of a shell that leave the words of `densenet train` in its arguments.

        `default_out` is the run directory as the shell writes it, where the user named none. A job
        that is run again goes on with the run that it has made.
        """
        words = [shlex.quote(word) for word in self.words]
        if self.resumes:
            return [f"set -- {' '.join(words)}"]
        run = default_out if self.out is None else shlex.quote(self.out)
        resumption = ['--resume "$run"', *map(shlex.quote, self.repeated)]
        words += ["--devices", str(self.devices)] if self.devices > 1 else []
        words += ['--out "$run"'] if self.out is None else []
        return [
            f"run={run}",
            'if [ -f "$run/run.json" ]; then # this job, or another, has begun it',
            f"  set -- {' '.join(resumption)}",
            "else",
            f"  set -- {' '.join(words)}",
            "fi",
        ]
