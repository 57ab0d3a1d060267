"""What was found out of a machine."""

from __future__ import annotations

from typing import Literal, NamedTuple

Level = Literal["ok", "note", "warning", "fault"]
"""`note` is neither good nor bad, `warning` may cost time or a run, `fault` lets nothing begin."""


class Finding(NamedTuple):
    """One thing that was looked at."""

    subject: str
    level: Level
    found: str
    cure: str = ""
    """What to do about it, where something is to be done."""
