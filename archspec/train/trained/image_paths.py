"""Which image files do words mean: files, folders of them, and patterns such as photos/*.jpg?"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from archspec.errors import DataError, Diagnostic
from archspec.train.data.formats.mindrecords import is_mindrecord
from archspec.train.data.images.image_files import IMAGE_SUFFIXES, collect_faults, list_folder
from archspec.train.data.sources.source import raise_faults

_PACKED = "predict takes image files; validate --data-dir judges by packed ones"


def find_images(words: Sequence[str | Path]) -> list[Path]:
    """Return the image files that are meant, each once: a file as it is, of a folder all within it
    and its folders, of a pattern (`*`, `?`, `[a-z]`, `**` for any folders) all that it matches.

    A folder's and a pattern's come in the order of their paths; hidden ones are left out.

    Raises:
        DataError: all faults at once: D001, a folder that cannot be read, a pattern that matches no
            image; D003, a folder without images; D005, a MindRecord. A file
            that does not exist is left to its reader.
    """
    faults: list[Diagnostic] = []
    found: list[Path] = []
    for word in words:
        found += collect_faults(faults, _find, str(word)) or ()
    raise_faults(faults)
    return list(dict.fromkeys(found))


def _find(word: str) -> list[Path]:
    if os.path.isdir(word):
        return _find_in_folder(Path(word), word)
    if os.path.isfile(word) and not _is_image(Path(word)) and is_mindrecord(Path(word)):
        raise DataError.one("D005", "is a MindRecord, and no image", word, _PACKED)
    if os.path.lexists(word) or not glob.has_magic(word):
        return [Path(word)]
    matched = sorted(map(Path, glob.glob(word, recursive=True)))
    files = [path for path in matched if _is_image(path)]
    if not files:
        raise DataError.one("D001", f"matches no {'image' if matched else 'file'}", word)
    return files


def _find_in_folder(folder: Path, word: str) -> list[Path]:
    files = list(_walk(folder))
    if files:
        return files
    hint = f"images end in {', '.join(IMAGE_SUFFIXES)}"
    if any(map(is_mindrecord, folder.iterdir())):
        hint = _PACKED
    raise DataError.one("D003", "holds no image, nor do its folders", word, hint)


def _walk(folder: Path) -> Iterator[Path]:
    """The images of a folder, then those of its folders; links to folders are not followed, which
    could lead round.
    """
    listing = list_folder(folder)
    yield from (folder / name for name in listing.images)
    for name in listing.folders:
        if not (folder / name).is_symlink():
            yield from _walk(folder / name)


def _is_image(path: Path) -> bool:
    return path.name.lower().endswith(IMAGE_SUFFIXES) and not path.is_dir()
