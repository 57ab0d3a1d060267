"""Whether a text is as ruff would have it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ruff.__main__ import find_ruff_bin


def assert_as_ruff_has(folder: Path, *texts: str) -> None:
    """Write the texts into a folder: ruff finds no fault in them and would format them no other
    way.
    """
    for number, text in enumerate(texts):
        (folder / f"text{number}.py").write_text(text, encoding="utf-8")
    for arguments in (("check",), ("format", "--diff")):
        command = [find_ruff_bin(), *arguments, "--isolated", "--no-cache", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
