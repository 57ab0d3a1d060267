"""What tests of emitted text share."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from ruff.__main__ import find_ruff_bin


@pytest.fixture
def as_ruff_has_it(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    """A function that asserts that ruff finds no fault in texts
    and would format them no other way.
    """

    def check(*texts: str) -> None:
        folder = tmp_path_factory.mktemp("texts")
        for number, text in enumerate(texts):
            (folder / f"text{number}.py").write_text(text, encoding="utf-8")
        for arguments in (("check",), ("format", "--diff")):
            command = [find_ruff_bin(), *arguments, "--isolated", "--no-cache", str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr

    return check
