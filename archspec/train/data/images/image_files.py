"""Image files and folders of them: which there are, whether they are whole, and what is in them."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from archspec.errors import ArchspecError, DataError, Diagnostic
from archspec.train.data.images.bit_depth import WHITE, is_deep, is_negative, reduce_depth
from archspec.train.data.images.record_image import RecordImage
from archspec.train.distributed.pulse import beat

if TYPE_CHECKING:
    from PIL import Image

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
# Named, since Pillow would also run Ghostscript on a file named .jpg.
IMAGE_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF")
# Pillow verifies a WebP file's length when it opens it; a format without a mark is decoded to be
# sure.
END_MARKS = {"JPEG": b"\xff\xd9", "PNG": b"IEND", "WEBP": b""}
TAIL_BYTES = 64
MAX_PIXELS = 89_478_485  # Pillow's own limit, a quarter of a gigabyte; Pillow only warns there
MAX_CHECKED = 20_000  # about two seconds; a larger set meets its faults while it is read
BLOCKS_PER_READER = 4  # of up to 16 MB: an image, what is made of it, and of that
MAX_KINDS = 10  # of files that are skipped, named one by one
ImageFile = Path | RecordImage
"""An image in a file of its own, or in one of many."""
PART_FOLDERS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}


def read_image(path: ImageFile, channels: int, white_level: int = WHITE) -> Image.Image:
    """Return an image file decoded in grey (channels 1) or RGB (3), without alpha,
    upright as viewers show it; of several pages or frames the first.

    `white_level` is the value of a grey image of 16 bits that becomes 255.
    Raises DataError (D001, D005) naming the file.
    """
    decode = partial(_decode, channels=channels, white_level=white_level)
    return cast("Image.Image", with_image(path, decode))


def _decode(image: Image.Image, _: IO[bytes], channels: int, white_level: int) -> Image.Image:
    image.load()
    return convert_image(image, channels, white_level)


def convert_image(image: Image.Image, channels: int, white_level: int = WHITE) -> Image.Image:
    """Return an opened image that was loaded, as `read_image` does."""
    from PIL import ImageOps

    negative = is_negative(image)  # what is turned upright has no tags any more
    with suppress(Exception):  # metadata that cannot be read spoil no pixels
        # Cameras turn a picture by a note in its EXIF alone.
        ImageOps.exif_transpose(image, in_place=True)
    image.info.pop("transparency", None)  # Pillow warns when it drops this itself
    if is_deep(image):
        image = reduce_depth(image, white_level, negative=negative)
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def keep_freed_memory(readers: int) -> None:
    """Have Pillow use the memory of images that are gone for the next ones of so many threads.

    Else the system clears each page of it anew, which takes half as long as decoding does.
    """
    from PIL.Image import core  # type: ignore[attr-defined]  # its documentation calls it so

    core.set_blocks_max(max(core.get_blocks_max(), readers * BLOCKS_PER_READER))


def with_image(path: ImageFile, use: Callable[[Image.Image, IO[bytes]], Any]) -> Any:
    """Call `use` on the opened image; Pillow's readers raise almost anything on a broken file."""
    from PIL import Image, UnidentifiedImageError

    try:
        with path.open("rb") as file, Image.open(file, formats=IMAGE_FORMATS) as image:
            if image.width * image.height <= MAX_PIXELS:
                return use(image, file)
            reason = f"has {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}"
            raise DataError.one("D005", reason, str(path))
    except DataError:
        raise
    except UnidentifiedImageError:
        reason = "is not a whole JPEG, PNG, BMP, WebP or TIFF image"
    except Exception as error:
        reason = f"cannot be read: {reason_of(error)}"
        if isinstance(error, OSError) and error.errno:
            raise DataError.one("D001", reason, str(path)) from None
    raise DataError.one("D005", reason, str(path), "copy it anew, or leave it out")


def size_of(file: ImageFile) -> int:
    """Return the bytes of an image, -1 where its file cannot be looked at: that is told when it is
    opened.
    """
    if isinstance(file, RecordImage):
        return file.size
    try:
        return os.stat(file).st_size
    except OSError:
        return -1


def reason_of(error: Exception) -> str:
    """Return what an error says, without the path that Python adds to it."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def check_end(image: Image.Image, file: IO[bytes]) -> None:
    """Look for the format's end mark, much cheaper than decoding;
    decode where it stands elsewhere.
    """
    place = file.tell()
    file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
    tail = file.read()
    file.seek(place)
    mark = END_MARKS.get(image.format or "")
    if mark is None or mark not in tail:
        image.load()
        if is_deep(image):  # values that no grey level can be made of
            reduce_depth(image)


def find_broken(files: Sequence[ImageFile]) -> tuple[tuple[int, Diagnostic], ...]:
    """Return the files that are no whole image, by number; none of very many, of which each would
    take too long to open.
    """
    if len(files) > MAX_CHECKED:
        return ()
    broken: list[tuple[int, Diagnostic]] = []
    with ignore_warnings():
        for number, file in enumerate(files):
            faults: list[Diagnostic] = []
            collect_faults(faults, with_image, file, check_end)
            beat()
            broken += [(number, fault) for fault in faults]
    return tuple(broken)


@contextmanager
def ignore_warnings() -> Iterator[None]:
    """Pillow warns of too many pixels and of odd metadata; what matters is an error here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def collect_faults(faults: list[Diagnostic], read: Callable[..., Any], *arguments: Any) -> Any:
    """Return what `read` returns, or add its faults and return None."""
    try:
        return read(*arguments)
    except ArchspecError as error:
        faults.extend(error.diagnostics)
    except OSError as error:
        place = str(error.filename or arguments[0])
        faults.append(Diagnostic("D001", f"cannot be read: {reason_of(error)}", place))
    return None


# ---- image folders


@dataclass(frozen=True)
class Listing:
    """Names of the folders and the image files in a folder, and how many others by kind.

    Whoever asks what a folder holds is given this: a large data set takes many seconds to list.
    """

    root: Path
    folders: tuple[str, ...]
    images: tuple[str, ...]
    others: Counter[str]


def list_folder(root: Path) -> Listing:
    """Return what a folder holds. Raises OSError where it cannot be read."""
    folders, images, others = [], [], Counter[str]()
    beat()
    with os.scandir(root) as entries:
        for entry in filter(_is_shown, entries):
            if _is_folder(entry):
                folders.append(entry.name)
            if entry.name.lower().endswith(IMAGE_SUFFIXES) and _is_file(entry):
                images.append(entry.name)
            else:
                others[_kind_of_entry(entry)] += 1
    return Listing(root, tuple(sorted(folders)), tuple(sorted(images)), others)


def find_folder(root: Path) -> dict[str, Listing]:
    """Return the folders of the parts, `all` where the root holds the class folders,
    none where there are none.
    """
    parts = {part: listing for part, listing in _list_parts(root) if not _is_class(listing)}
    if parts:
        return parts
    listing = list_folder(root)
    return {"all": listing} if listing.folders else {}


def _list_parts(root: Path) -> Iterator[tuple[str, Listing]]:
    """Folders with the names of parts; of several, the last one stands for the part."""
    for part, names in PART_FOLDERS.items():
        for folder in filter(Path.is_dir, [root / name for name in names]):
            yield part, list_folder(folder)


def _is_class(listing: Listing) -> bool:
    """A folder `train` with images and no folders in it is a class of that name."""
    return bool(listing.images) and not listing.folders


@dataclass(frozen=True)
class ImageFolder:
    """The image files of each class, both sorted,
    how many entries of which kind were left aside, and the files that are not whole, by number.
    """

    classes: dict[str, tuple[Path, ...]]
    skipped: Counter[str]
    broken: tuple[tuple[int, Diagnostic], ...] = ()

    def notes(self, root: Path) -> tuple[str, ...]:
        """Return a line about what was left aside, none where nothing was."""
        if not self.skipped:
            return ()
        kinds = [f"{kind} ({count:,})" for kind, count in self.skipped.most_common()]
        more = [f"{len(kinds) - MAX_KINDS} kinds more"] if len(kinds) > MAX_KINDS else []
        skipped = ", ".join(kinds[:MAX_KINDS] + more)
        return (f"{root}: skipped {skipped}; images are {', '.join(IMAGE_SUFFIXES)}",)


def read_folder(listing: Listing, *, check: bool) -> ImageFolder:
    """Return the image files of each class folder of a part.

    With `check` each is opened once to see whether it is whole, unless there are very many.
    Raises DataError (D001, D003), all faults at once, with them those of images.
    """
    faults: list[Diagnostic] = []
    skipped = Counter({"images beside the class folders": len(listing.images)})
    if not listing.folders:
        faults.append(Diagnostic("D003", "holds no class folders", str(listing.root)))
    found = {
        name: tuple(collect_faults(faults, _list_class, listing.root / name, skipped) or ())
        for name in listing.folders
    }
    broken: tuple[tuple[int, Diagnostic], ...] = ()
    if check:
        broken = find_broken([file for files in found.values() for file in files])
    if faults:
        raise DataError([*faults, *(fault for _, fault in broken)])
    return ImageFolder(found, +skipped, broken)


def _kind_of_entry(entry: os.DirEntry[str]) -> str:
    if entry.is_dir():
        return "folders"
    return Path(entry.name).suffix.lower() or "files without a suffix"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    # A broken link counts: it is a fault, to be told when it is opened.
    return entry.is_dir() or (entry.is_symlink() and not os.path.exists(entry.path))


def _is_file(entry: os.DirEntry[str]) -> bool:
    # A broken link is a fault, a pipe none.
    return entry.is_file() or (entry.is_symlink() and not entry.is_dir())


def _is_shown(entry: os.DirEntry[str]) -> bool:
    return not entry.name.startswith(".")  # .DS_Store, ._001.jpg, .ipynb_checkpoints


def _list_class(folder: Path, skipped: Counter[str]) -> list[Path]:
    listing = list_folder(folder)
    skipped.update(listing.others)
    files = [folder / name for name in listing.images]
    if files:
        return files
    what = "holds no image" if any(folder.iterdir()) else "is an empty class folder"
    hint = f"images end in {', '.join(IMAGE_SUFFIXES)} and stand directly in their class's folder"
    raise DataError.one("D003", what, str(folder), hint)


def find_class_faults(listings: Sequence[Listing]) -> list[Diagnostic]:
    """Compare the class folders of each part with those of the first,
    which is `train` if there is one.
    """
    first, *others = listings
    pairs = [(first, other) for other in others]
    pairs += [(other, first) for first, other in pairs]
    return [
        Diagnostic("D004", f"lacks the class {name!r} of {other.root}", str(listing.root))
        for listing, other in pairs
        for name in sorted({*other.folders} - {*listing.folders})
    ]
