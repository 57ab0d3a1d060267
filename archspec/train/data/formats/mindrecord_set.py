"""One MindRecord set: its images in order, and their labels as they are written.

D003, it holds no image; D006, it is not whole; D014, its columns are not clear.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from archspec.errors import DataError
from archspec.train.data.formats.label_tables import FILE_COLUMNS, LABEL_COLUMNS
from archspec.train.data.formats.mindrecord_files import (
    CURE,
    Column,
    Header,
    Rows,
    Schema,
    list_images,
    list_shards,
    read_header,
)
from archspec.train.data.formats.mindrecord_index import read_rows
from archspec.train.data.images.image_files import reason_of
from archspec.train.data.images.record_image import RecordFile, RecordImage

MADE_BY: Final = "densenet data pack"
NUMBER, IMAGE, LABEL, LABELS, FILE = "number", "image", "label", "labels", "file_name"
"""The columns that it writes; `labels` are numbers parted by `;`."""
IMAGE_COLUMNS = ("image", "data", "img", "image_bytes", "image_data")
LABEL_NAMES = (*LABEL_COLUMNS, "fine_label")  # CIFAR-100 as MindSpore writes it
LABEL_KINDS = ("int32", "int64", "string")
MAX_OPEN = 128
"""Files of a set that stay open; of more each is opened for each image."""
_WANTED = (
    "wanted are one column of bytes, image or data, and a column label of whole numbers or words"
)


class Description(BaseModel):
    """What `data pack` says of a set in its schema's description."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    made_by: Literal["densenet data pack"]
    classes: list[str]
    is_multi_label: bool
    digest: str
    """Of all that the index says, which nothing else would vouch for: see `digest_rows`."""


@dataclass(frozen=True)
class Columns:
    """What the columns of a set are called; `""` where there is none."""

    image: str
    label: str
    file: str
    number: str = ""

    @property
    def scalars(self) -> list[str]:
        """Those of numbers and words."""
        return [name for name in (self.label, self.file, self.number) if name]


@dataclass(frozen=True, eq=False)
class RecordSet:
    """The images of one set in order, their labels as they are written, and what is said of it."""

    path: Path
    images: tuple[RecordImage, ...]
    labels: tuple[Any, ...]
    description: Description | None


def read_set(path: Path) -> RecordSet:
    """Return the images of a set in order. Raises DataError (D001, D006, D014)."""
    header = read_header(path)
    schema = header.schema_of_rows
    description = _read_description(schema)
    columns = find_columns(path, header, description)
    order: list[Any] = []
    images: list[RecordImage] = []
    labels: list[Any] = []
    shards = list_shards(path, header)
    for shard in shards:
        own = header if shard == path else read_header(shard)
        if own.schemas != header.schemas:
            raise DataError.one("D014", f"has other columns than {path.name}", str(shard))
        rows = read_rows(shard, own, columns.scalars)
        file = RecordFile(shard, stays_open=len(shards) <= MAX_OPEN)
        images += _list_images(file, own, rows, columns)
        labels += rows.values[columns.label]
        order += rows.values.get(columns.number, ())
    if not images:
        raise DataError.one("D003", "holds no image", str(path))
    if order:
        by_number = sorted(range(len(order)), key=order.__getitem__)
        images = [images[row] for row in by_number]
        labels = [labels[row] for row in by_number]
    if description is not None:
        _check_digest(path, description, images, labels)
    return RecordSet(path, tuple(images), tuple(labels), description)


def _check_digest(
    path: Path, description: Description, images: Sequence[RecordImage], labels: Sequence[Any]
) -> None:
    names = [image.path for image in images]
    sizes = [image.size for image in images]
    if digest_rows(description.classes, names, sizes, labels) != description.digest:
        message = "has other names, labels, classes or sizes of images than were packed"
        raise DataError.one("D006", message, str(path), CURE)


def digest_rows(
    classes: Sequence[str], names: Sequence[str], sizes: Sequence[int], labels: Sequence[Any]
) -> str:
    """Return a digest of the images of a set, in order, but for their bytes."""
    digest = sha256()
    for values in (classes, names, sizes, labels):
        digest.update(json.dumps(list(values)).encode())
    return digest.hexdigest()


def _read_description(schema: Schema) -> Description | None:
    try:
        return Description.model_validate_json(schema.desc)
    except ValidationError:  # a word of others
        return None


def find_columns(path: Path, header: Header, description: Description | None) -> Columns:
    """Return which columns hold what. Raises DataError (D014)."""
    schema = header.schema_of_rows
    scalars = {n: column for n, column in schema.columns.items() if n not in schema.blob_fields}
    blobs = [name for name in schema.blob_fields if name in schema.columns]
    blobs = [name for name in blobs if schema.columns[name].type == "bytes"]
    images = [name for name in blobs if name.lower() in IMAGE_COLUMNS] or blobs
    labels = _choose(scalars, LABEL_KINDS, LABEL_NAMES)
    files = _choose(scalars, ("string",), FILE_COLUMNS)
    if len(images) != 1 or len(labels) != 1:
        described = [f"{name} ({_describe(schema.columns[name])})" for name in schema.columns]
        found = ", ".join(sorted(described)) or "none"
        raise DataError.one("D014", f"has the columns {found}; {_WANTED}", str(path))
    is_numbered = description is not None and NUMBER in _choose(scalars, ("int64",), (NUMBER,))
    return Columns(images[0], labels[0], next(iter(files), ""), NUMBER if is_numbered else "")


def _choose(scalars: Mapping[str, Column], kinds: Sequence[str], names: Sequence[str]) -> list[str]:
    return [
        name
        for name, column in scalars.items()
        if name.lower() in names and column.type in kinds and column.shape is None
    ]


def _describe(column: Column) -> str:
    return column.type if column.shape is None else f"array of {column.type}"


def _list_images(
    file: RecordFile, header: Header, rows: Rows, columns: Columns
) -> list[RecordImage]:
    names = rows.values.get(columns.file)
    if names is None:
        names = [f"image {number}" for number in range(len(rows.starts))]
    try:
        return list_images(file, header, rows, columns.image, names)
    except OSError as error:
        raise DataError.one("D001", f"cannot be read: {reason_of(error)}", str(file.path)) from None
