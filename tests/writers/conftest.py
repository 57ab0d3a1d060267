"""What tests of emitted text share."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from ruff.__main__ import find_ruff_bin


@pytest.fixture(scope="session")
def as_ruff_has_it() -> Callable[[str], None]:
    """A function that asserts that ruff finds no fault in a text
    and would format it no other way.
    """

    def check(text: str) -> None:
        for arguments in (("check",), ("format", "--check")):
            command = [find_ruff_bin(), *arguments, "--isolated", "--no-cache", "-"]
            done = subprocess.run(command, input=text, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout + done.stderr + text

    return check
