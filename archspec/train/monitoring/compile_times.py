"""How long MindSpore compiled a network the last time, so that somebody who waits knows for what.

The figure is told as what it is, the last time's: batch, recipe and machine may have changed.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from archspec.errors import EnvironmentFault
from archspec.files import write_atomic
from archspec.runtime import cache_folder
from archspec.train.run.run_directory import Settings

FOLDER = "compile_times"
MOST_BYTES, MOST_SECONDS = 1_000, 1_000_000.0


@contextmanager
def tell_compilation(
    settings: Settings,
    report: Callable[[Mapping[str, Any]], None],
    *,
    keep: bool,
    is_kept: bool = False,
) -> Iterator[None]:
    """Report that a network is compiled for as long as the block lasts, and how long that took;
    with `keep` that is remembered for the next time.

    One that is kept compiled (`is_kept`) has times of its own: they are a fraction of the others.
    """
    last = read_last(settings, is_kept=is_kept)
    known: dict[str, Any] = {} if last is None else {"last_seconds": last}
    if is_kept:
        known["is_kept"] = True
    report({"event": "phase", "phase": "compiling", **known})
    began = time.monotonic()
    yield
    seconds = time.monotonic() - began
    report({"event": "phase", "phase": "training", "compile_seconds": seconds})
    if keep:
        remember(settings, seconds, is_kept=is_kept)


def read_last(settings: Settings, *, is_kept: bool = False) -> float | None:
    """Return the seconds that a run's network took the last time, None where nobody knows."""
    try:
        file = _path_of(settings, is_kept)
        if file.stat().st_size > MOST_BYTES:
            return None
        seconds = json.loads(file.read_text("utf-8"))["seconds"]
    except (OSError, EnvironmentFault, ValueError, TypeError, KeyError):
        return None
    is_number = isinstance(seconds, int | float) and math.isfinite(seconds)
    return float(seconds) if is_number and 0 < seconds < MOST_SECONDS else None


def remember(settings: Settings, seconds: float, *, is_kept: bool = False) -> None:
    """Keep it in the cache folder; where that cannot be written, nothing is known next time."""
    with suppress(OSError, EnvironmentFault):
        file = _path_of(settings, is_kept)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, json.dumps({"seconds": round(seconds, 3)}) + "\n")


def _path_of(settings: Settings, is_kept: bool) -> Path:
    devices = f"{settings.device_target}-{settings.world}{'-kept' if is_kept else ''}"
    return cache_folder() / FOLDER / f"{settings.structure_digest}-{devices}.json"
