"""What tests of emitted text share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def as_ruff_has_it() -> Callable[[str], None]:
    """A function that asserts that ruff finds no fault in a text
    and would format it no other way.
    """

    def check(text: str) -> None:
        for arguments in (("check",), ("format", "--check")):
            command = [sys.executable, "-m", "ruff", *arguments, "--isolated", "--no-cache", "-"]
            done = subprocess.run(command, input=text, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr + text

    return check
