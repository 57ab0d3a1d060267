"""Folders of images with a mask for each: which layouts there are, and which mask is whose."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product
from pathlib import Path

from archspec.errors import DataError, Diagnostic
from archspec.train.data.images.image_files import (
    PART_FOLDERS,
    ImageFolder,
    Listing,
    list_folder,
    reason_of,
)

IMAGE_FOLDERS = ("images", "image", "imgs", "img")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "annotations", "annotation")
PAIRS = (
    ("jpegimages", "segmentationclass"),  # Pascal VOC, whose Annotations are no masks
    ("jpegimages", "segmentationclasspng"),  # as labelme writes it
    ("leftimg8bit", "gtfine"),  # Cityscapes
    ("img_dir", "ann_dir"),  # MMSegmentation
    *product(IMAGE_FOLDERS, MASK_FOLDERS),
)
"""Folders of images and of their masks, in small letters: they are found however they are
written."""
BESIDE = ("annot", "_masks", "_mask", "_labels", "_annotations")
"""What a part's masks are called that lie beside its images: the part and this; `trainannot` is
CamVid's, as SegNet's authors publish it."""
OTHER_NAMES = {"train": ("training",), "val": (), "test": ("testing",)}
"""Of the parts, in sets of images and masks: ADE20K has `training`."""
VOC_LISTS = ("ImageSets", "Segmentation")
"""Where Pascal VOC has a file of names for each part."""
CITYSCAPES_IMAGE = "_leftImg8bit"
CITYSCAPES_MASKS = ("_gtFine_labelTrainIds", "_gtFine_labelIds")
"""Endings of names; of masks the first that there is."""
_CURE = "put their masks there, as of those to learn from, or move the folder away"
LAYOUT = (
    "train/images/*.png and train/masks/*.png, images/train and masks/train, or as in CamVid "
    "train/*.png and trainannot/*.png, likewise val and test; images and masks alone; as in Pascal "
    "VOC JPEGImages and SegmentationClass; as in Cityscapes leftImg8bit and gtFine"
)


@dataclass(frozen=True)
class MaskFolder:
    """A part of a data set: a folder of images, and the folder of their masks."""

    images: Listing
    masks: Listing
    names: Path | None = None
    """A file of the names of its images, where the folders hold those of other parts too."""
    notes: tuple[str, ...] = ()

    @property
    def root(self) -> Path:
        """Where the images lie."""
        return self.images.root


def find_mask_folders(root: Path) -> dict[str, MaskFolder]:
    """Return the folders of the parts, `all` where the root holds images and masks of no part,
    none where there are none.

    Raises:
        OSError: a folder cannot be read.
        DataError: D015, images to choose by have no folder of masks.
    """
    places, parts = _list_places(root), {}
    for part in PART_FOLDERS:
        pairs = (_find_pair(places, name) for name in _list_names(part))
        pair = next(filter(None, pairs), None)
        if pair is not None:
            parts[part] = _list_pair(*pair)
    if parts:
        return _tell_halves(parts, places)
    whole = _find_pair(places, "")
    if whole is None:
        return {}
    listed = _list_pair(*whole)
    return _find_voc_lists(root, listed) or {"all": listed}


def _list_names(part: str) -> tuple[str, ...]:
    return (*PART_FOLDERS[part], *OTHER_NAMES[part])


_Places = Mapping[tuple[str, ...], Path]
"""Folders by their names below the root, in small letters."""


def _list_places(root: Path) -> _Places:
    """All folders in the root, and what folders those hold that may be meant."""
    known = {*chain(*PAIRS), *chain(*PART_FOLDERS.values()), *chain(*OTHER_NAMES.values())}
    places: dict[tuple[str, ...], Path] = {}
    for folder in _list_folders(root):
        name = folder.name.lower()
        places.setdefault((name,), folder)
        for inner in _list_folders(folder) if name in known else ():
            places.setdefault((name, inner.name.lower()), inner)
    return places


def _list_folders(root: Path) -> list[Path]:
    """Those in small letters first, where two are called alike."""
    with os.scandir(root) as entries:
        names = [entry.name for entry in entries if entry.is_dir()]
    return [root / name for name in sorted(names, key=lambda name: (name != name.lower(), name))]


def _find_pair(places: _Places, part: str) -> tuple[Path, Path] | None:
    for images, masks in _list_candidates(part):
        if images in places and masks in places:
            return places[images], places[masks]
    for images, masks in _list_neighbours(part):
        # Beside folders of classes there may be one of tables.
        if images in places and masks in places and _list_nested(places[masks]).images:
            return places[images], places[masks]
    return None


def _list_candidates(part: str) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    for images, masks in PAIRS:
        if not part:
            yield (images,), (masks,)
            continue
        yield (part, images), (part, masks)
        yield (images, part), (masks, part)


def _list_neighbours(part: str) -> Iterator[tuple[tuple[str], tuple[str]]]:
    for ending in BESIDE if part else ():
        yield (f"{part}_images",), (f"{part}{ending}",)
        yield (part,), (f"{part}{ending}",)


def _list_pair(images: Path, masks: Path) -> MaskFolder:
    return MaskFolder(_list_nested(images), _list_nested(masks))


def _list_nested(root: Path) -> Listing:
    """What a folder holds; where that are folders alone, what those hold, such as towns. One alone
    of them that has images stands for the folder.
    """
    listing = list_folder(root)
    if listing.images or not listing.folders:
        return listing
    inner = [list_folder(root / folder) for folder in listing.folders]
    inner = [one for one in inner if one.images]
    if len(inner) < 2:
        return inner[0] if inner else listing
    images = [f"{one.root.name}/{name}" for one in inner for name in one.images]
    others = sum((one.others for one in inner), Counter[str]())
    return Listing(root, (), tuple(images), others)


def _find_halves(places: _Places, part: str) -> Iterator[Path]:
    """Folders of a part of which there is no pair, with images in them."""
    names: list[tuple[str, ...]] = [(part,), (f"{part}_images",)]
    names += [(f"{part}{ending}",) for ending in BESIDE]
    names += [(folder, part) for folder in dict.fromkeys(chain(*PAIRS))]
    for name in names:
        if name in places and _list_nested(places[name]).images:
            yield places[name]


def _tell_halves(parts: Mapping[str, MaskFolder], places: _Places) -> dict[str, MaskFolder]:
    """Images to judge with often have no masks, which a note says; of those to choose by, which a
    share of the training images would replace, it is a fault.
    """
    halves = {}
    for part in PART_FOLDERS.keys() - parts.keys():
        halves[part] = [half for name in _list_names(part) for half in _find_halves(places, name)]
    faults = []
    for place in halves.get("val", ()):
        rule = "holds no images with masks beside them"
        faults.append(Diagnostic("D015", rule, str(place), _CURE))
    if faults:
        raise DataError(faults)
    notes = []
    for place in halves.get("test", ()):
        notes.append(f"{place}: left aside, since there are no images with masks beside them")
    return {part: replace(folder, notes=tuple(notes)) for part, folder in parts.items()}


def _find_voc_lists(root: Path, whole: MaskFolder) -> dict[str, MaskFolder]:
    """The parts of which there are lists of names."""
    lists = {part: root.joinpath(*VOC_LISTS, f"{part}.txt") for part in PART_FOLDERS}
    return {part: replace(whole, names=file) for part, file in lists.items() if file.is_file()}


def pair_by_name(folder: MaskFolder, faults: list[Diagnostic]) -> list[tuple[Path, Path]]:
    """Return each image with the mask of its name; suffixes may differ, and all masks may have one
    ending more, as in `0001_L.png`. What has no partner, or several, is added to the faults.
    """
    ending = _find_cityscapes_ending(folder.masks)
    images = _by_stem(folder.images, faults, CITYSCAPES_IMAGE if ending else "")
    masks = _by_stem(folder.masks, faults, ending)
    ending = _find_ending(sorted(images), sorted(masks))
    masks = {stem.removesuffix(ending): file for stem, file in masks.items()}
    if folder.names is not None:
        return _pair_listed(folder.names, images, masks, faults)
    for stem in sorted(images.keys() - masks.keys()):
        faults.append(Diagnostic("D015", f"has no mask in {folder.masks.root}", str(images[stem])))
    for stem in sorted(masks.keys() - images.keys()):
        place = str(masks[stem])
        faults.append(Diagnostic("D015", f"has no image in {folder.images.root}", place))
    return [(images[stem], masks[stem]) for stem in sorted(images.keys() & masks.keys())]


def _pair_listed(
    names: Path,
    images: Mapping[str, Path],
    masks: Mapping[str, Path],
    faults: list[Diagnostic],
) -> list[tuple[Path, Path]]:
    """The pairs that a file names, a line each, in its order."""
    try:
        lines = names.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        faults.append(Diagnostic("D001", f"cannot be read: {reason_of(error)}", str(names)))
        return []
    stems = [line.strip() for line in lines if line.strip()]
    for kind, files in (("image", images), ("mask", masks)):
        for stem in sorted({*stems} - files.keys()):
            rule = f"names {stem!r}, which has no {kind}"
            faults.append(Diagnostic("D015", rule, str(names)))
    if not stems:
        faults.append(Diagnostic("D003", "names no image", str(names)))
    whole = [stem for stem in dict.fromkeys(stems) if stem in images and stem in masks]
    return [(images[stem], masks[stem]) for stem in whole]


def _find_cityscapes_ending(masks: Listing) -> str:
    """Of what Cityscapes has for each image, the masks; "" elsewhere."""
    stems = [str(Path(name).with_suffix("")) for name in masks.images]
    for ending in CITYSCAPES_MASKS:
        if any(stem.endswith(ending) for stem in stems):
            return ending
    return ""


def _by_stem(listing: Listing, faults: list[Diagnostic], ending: str = "") -> dict[str, Path]:
    """The images of a folder by their names, without the ending that is asked for."""
    found: dict[str, Path] = {}
    if not listing.images:
        hint = "images and masks stand directly in their folders"
        faults.append(Diagnostic("D003", "holds no image", str(listing.root), hint))
    for name in listing.images:
        file, stem = listing.root / name, str(Path(name).with_suffix(""))
        if not stem.endswith(ending):
            continue
        stem = stem.removesuffix(ending)
        if stem in found:
            rule = f"has the name of {found[stem].name}: nothing tells whose mask is whose"
            faults.append(Diagnostic("D015", rule, str(file)))
        found.setdefault(stem, file)
    return found


def _find_ending(images: Sequence[str], masks: Sequence[str]) -> str:
    """What stands behind the image's name in that of every mask, '' where nothing does."""
    if not masks or {*images} & {*masks}:
        return ""
    fitting = [stem for stem in images if masks[0].startswith(stem)]
    ending = masks[0].removeprefix(max(fitting, key=len, default=masks[0]))
    return ending if all(mask.endswith(ending) for mask in masks) else ""


def describe_skipped(folder: MaskFolder) -> tuple[str, ...]:
    """Return lines about entries that are neither images nor masks, none where there are none."""
    skipped = ImageFolder({}, folder.images.others + folder.masks.others).notes(folder.root)
    return (*skipped, *folder.notes)
