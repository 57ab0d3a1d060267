"""Files that are written whole or not at all, and YAML that reads back the same."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from archspec.spec.reading.yaml_reader import SCALARS

_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


def to_yaml(values: Mapping[str, Any]) -> str:
    """Return YAML that our reader reads back as the same values, keys in their own order."""
    return yaml.dump(
        dict(values), Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=100
    )


class _Dumper(yaml.SafeDumper):
    """Quotes words that our reader would take for something else, such as 1e-4:
    PyYAML knows YAML 1.1 alone.

    Keys are words to our reader whatever they look like,
    so those that are numbers go without quotes.
    """

    def represent_text(self, text: str) -> yaml.ScalarNode:
        style = "'" if any(pattern.fullmatch(text) for pattern, _ in SCALARS) else None
        return self.represent_scalar("tag:yaml.org,2002:str", text, style)

    def represent_mapping(
        self, tag: str, mapping: Any, flow_style: bool | None = None
    ) -> yaml.MappingNode:
        numbered = {}
        for key, value in mapping.items():
            numbered[int(key) if _NUMBER.fullmatch(str(key)) else key] = value
        return super().represent_mapping(tag, numbered, flow_style)


_Dumper.add_representer(str, _Dumper.represent_text)


def sha256_of(file: Path) -> str:
    """Return the sha256 of a file."""
    digest = sha256()
    with file.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write a file under a temporary name, then rename it: it is there whole or not at all."""
    data = content.encode() if isinstance(content, str) else content
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # or a crash could leave the new name on an empty file
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
