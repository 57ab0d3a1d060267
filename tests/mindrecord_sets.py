"""Image folders to pack, and MindRecord files as MindSpore's own writer makes them."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Schema = Mapping[str, Mapping[str, Any]]
FOREIGN: Schema = {
    "data": {"type": "bytes"},
    "label": {"type": "int64"},
    "file_name": {"type": "string"},
}


def picture(seed: int, format_: str = "png") -> bytes:
    """Return the bytes of an image of noise, of a size of its own."""
    pixels = np.random.default_rng(seed).integers(0, 256, (12 + seed % 5, 16, 3), np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, format_)
    return content.getvalue()


def photos(root: Path, parts: Sequence[str] = ("train", "val"), each: int = 9) -> Path:
    """Write class folders of parts (`.` for none), with names that are hard to quote."""
    seed = 0
    for part in parts:
        for name in ("cat's", "dog", "Äpfel"):
            (root / part / name).mkdir(parents=True)
            for number in range(each):
                seed += 1
                kind = ("png", "jpeg")[number % 2]
                file = root / part / name / f'{number} "{name}".{kind}'
                file.write_bytes(picture(seed, kind))
    return root


def write_records(
    path: Path,
    rows: Sequence[Mapping[str, Any]],
    schema: Schema = FOREIGN,
    *,
    shards: int = 1,
    index: Sequence[str] = (),
    description: str = "",
) -> Path:
    """Write a set with MindSpore's FileWriter and return its first file."""
    from mindspore.mindrecord import FileWriter

    path.parent.mkdir(parents=True, exist_ok=True)
    writer = FileWriter(str(path), shard_num=shards)
    writer.set_header_size(1 << 16)
    writer.set_page_size(1 << 15)
    writer.add_schema(schema, description)
    if index:
        writer.add_index(list(index))
    for start in range(0, len(rows), 7):
        writer.write_raw_data([dict(row) for row in rows[start : start + 7]])
    writer.commit()
    return path if shards == 1 else path.with_name(path.name + "0".zfill(len(str(shards - 1))))


def foreign_rows(count: int, classes: int = 3) -> list[dict[str, Any]]:
    """Return rows of FOREIGN."""
    return [
        {"data": picture(seed), "label": seed % classes, "file_name": f"{seed}.png"}
        for seed in range(count)
    ]


def edit_header(path: Path, *edits: tuple[str, Any]) -> None:
    """Set values of a file's header: `schema.0.desc`."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    for place, value in edits:
        *parents, key = [int(word) if word.isdecimal() else word for word in place.split(".")]
        part = header
        for parent in parents:
            part = part[parent]
        part[key] = value
    said = json.dumps(header).encode()
    rest = content[8 + max(length, len(said)) :]
    path.write_bytes(len(said).to_bytes(8, "little") + said.ljust(length, b"\0") + rest)
