"""Folders of images with a mask for each: which layouts there are, and which mask is whose."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from archspec.errors import Diagnostic
from archspec.train.data.image_files import (
    PART_FOLDERS,
    ImageFolder,
    Listing,
    list_folder,
)

IMAGE_FOLDERS = ("images", "image", "imgs", "img")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "annotations", "annotation")
OTHER_NAMES = {"train": ("training",), "val": (), "test": ("testing",)}
"""Of the parts, in sets of images and masks: ADE20K has `training`."""
LAYOUT = (
    "train/images/*.png and train/masks/*.png, images/train and masks/train, or as in CamVid "
    "train/*.png and trainannot/*.png; likewise val and test"
)


@dataclass(frozen=True)
class MaskFolder:
    """A part of a data set: a folder of images, and the folder of their masks."""

    images: Listing
    masks: Listing

    @property
    def root(self) -> Path:
        """Where the images lie."""
        return self.images.root


def find_mask_folders(root: Path) -> dict[str, MaskFolder]:
    """Return the folders of the parts, `all` where the root holds images and masks of no part,
    none where there are none. Raises OSError where one cannot be read.
    """
    parts = {}
    for part, names in PART_FOLDERS.items():
        found = [_find_pair(root, name) for name in (*names, *OTHER_NAMES[part])]
        pairs = [pair for pair in found if pair is not None]
        if pairs:
            parts[part] = pairs[0]
    if parts:
        return parts
    whole = _find_pair(root, "")
    return {} if whole is None else {"all": whole}


def _find_pair(root: Path, part: str) -> MaskFolder | None:
    for images, masks in _list_candidates(root, part):
        if images.is_dir() and masks.is_dir():
            return MaskFolder(list_folder(images), list_folder(masks))
    return None


def _list_candidates(root: Path, part: str) -> Iterator[tuple[Path, Path]]:
    for images, masks in product(IMAGE_FOLDERS, MASK_FOLDERS):
        yield root / part / images, root / part / masks
        if part:
            yield root / images / part, root / masks / part
    if part:
        yield root / part, root / f"{part}annot"  # CamVid, as SegNet's authors publish it


def pair_by_name(folder: MaskFolder, faults: list[Diagnostic]) -> list[tuple[Path, Path]]:
    """Return each image with the mask of its name; suffixes may differ, and all masks may have one
    ending more, as in `0001_L.png`. What has no partner, or several, is added to the faults.
    """
    images = _by_stem(folder.images, faults)
    masks = _by_stem(folder.masks, faults)
    ending = _find_ending(sorted(images), sorted(masks))
    masks = {stem.removesuffix(ending): file for stem, file in masks.items()}
    for stem in sorted(images.keys() - masks.keys()):
        faults.append(Diagnostic("D015", f"has no mask in {folder.masks.root}", str(images[stem])))
    for stem in sorted(masks.keys() - images.keys()):
        place = str(masks[stem])
        faults.append(Diagnostic("D015", f"has no image in {folder.images.root}", place))
    return [(images[stem], masks[stem]) for stem in sorted(images.keys() & masks.keys())]


def _by_stem(listing: Listing, faults: list[Diagnostic]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    if not listing.images:
        hint = "images and masks stand directly in their folders"
        faults.append(Diagnostic("D003", "holds no image", str(listing.root), hint))
    for name in listing.images:
        file = listing.root / name
        if file.stem in found:
            rule = f"has the name of {found[file.stem].name}: nothing tells whose mask is whose"
            faults.append(Diagnostic("D015", rule, str(file)))
        found.setdefault(file.stem, file)
    return found


def _find_ending(images: Sequence[str], masks: Sequence[str]) -> str:
    """What stands behind the image's name in that of every mask, '' where nothing does."""
    if not masks or {*images} & {*masks}:
        return ""
    fitting = [stem for stem in images if masks[0].startswith(stem)]
    ending = masks[0].removeprefix(max(fitting, key=len, default=masks[0]))
    return ending if all(mask.endswith(ending) for mask in masks) else ""


def describe_skipped(folder: MaskFolder) -> tuple[str, ...]:
    """Return a line about entries that are neither images nor masks, none where there are none."""
    return ImageFolder({}, folder.images.others + folder.masks.others).notes(folder.root)
