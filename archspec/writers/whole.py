"""Text files that are there whole or not at all, and YAML that reads back the same."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml


def to_yaml(values: Mapping[str, Any]) -> str:
    """Return YAML that reads back as the same values, keys in their own order."""
    return yaml.safe_dump(dict(values), sort_keys=False, default_flow_style=None, width=100)


def write_whole(path: Path, text: str) -> None:
    """Write a text file under a temporary name, then rename it: it is there whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
