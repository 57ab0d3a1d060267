"""Where in its code another process is: Python's own words, of a worker that said it would tell."""

from __future__ import annotations

import os
import re
import sysconfig
import time
from contextlib import suppress
from pathlib import Path

from archspec.train.distributed.pulse import SHOW_STACKS

PATIENCE_SECONDS = 2.0
_THREAD = re.compile(r"^(?:Current thread|Thread) 0x.*$", re.MULTILINE)
_FRAME = re.compile(r'^  File "(.*)", line (\d+) in (.*)$', re.MULTILINE)


def find_frame(pid: int, log: Path) -> str:
    """Have a worker write into its log where its threads are; return where the main one is, as
    ` (finish, loading_threads.py:117)`, else "".
    """
    try:
        before = log.stat().st_size
        os.kill(pid, SHOW_STACKS)
    except OSError:
        return ""
    deadline = time.monotonic() + PATIENCE_SECONDS
    text = ""
    # The main thread comes last, and its outermost frame is the module's.
    while " in <module>\n" not in text and time.monotonic() < deadline:
        time.sleep(0.05)
        text = _read_from(log, before)
    return _describe_main(text)


def _read_from(log: Path, offset: int) -> str:
    with suppress(OSError), log.open("rb") as file:
        file.seek(offset)
        return file.read(1 << 20).decode("utf-8", errors="replace")
    return ""


def _describe_main(text: str) -> str:
    library = sysconfig.get_path("stdlib")
    frames = _FRAME.findall(_THREAD.split(text)[-1])
    # Of a thread that waits for another, Python's own frames tell nothing.
    own = [frame for frame in frames if not frame[0].startswith((library, "<"))]
    if not own:
        return ""
    file, line, function = own[0]
    return f" ({function}, {Path(file).name}:{line})"
