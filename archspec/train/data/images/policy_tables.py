"""The tables of the policies: how far an operation goes at most, and AutoAugment's choices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

INDICES = 9
"""The highest of the ten magnitudes that AutoAugment's tables count."""


@dataclass(frozen=True)
class Range:
    """An operation's value at magnitudes 0 and 10; of either sign, where it is `signed`.

    `of` names the side of the image that the value is a share of.
    """

    start: float
    end: float
    signed: bool = False
    of: Literal["width", "height", ""] = ""


NO_VALUE = Range(0, 0)
_SHEARED = Range(0, 0.3, signed=True)
_TURNED = Range(0, 30, signed=True)
_ENHANCED = Range(0, 0.9, signed=True)
_WIDE = Range(0, 0.99, signed=True)
_SOLARIZED = Range(255, 0)


def _range_of_moves(share: float) -> dict[str, Range]:
    return {
        "translate_x": Range(0, share, signed=True, of="width"),
        "translate_y": Range(0, share, signed=True, of="height"),
    }


# Table 6 of arXiv 1805.09501, which searched images of 331 pixels; 1909.13719, section 3, has the
# same operations but for the inversion. Magnitudes grow stronger, either way, as in torchvision.
_COLOURS = dict.fromkeys(("brightness", "color", "contrast", "sharpness"), _ENHANCED)
_COMMON = {
    "shear_x": _SHEARED,
    "shear_y": _SHEARED,
    **_range_of_moves(150 / 331),
    "rotate": _TURNED,
    **_COLOURS,
    "posterize": Range(8, 4),
    "solarize": _SOLARIZED,
    "auto_contrast": NO_VALUE,
    "equalize": NO_VALUE,
}
RANDAUGMENT: Mapping[str, Range] = {"identity": NO_VALUE, **_COMMON}
AUTOAUGMENT: Mapping[str, Range] = {**_COMMON, "invert": NO_VALUE}
# arXiv 2103.10158, the wide ranges; moved by up to 32 pixels, whatever the size of the image.
TRIVIALAUGMENT: Mapping[str, Range] = {
    **RANDAUGMENT,
    "shear_x": _WIDE,
    "shear_y": _WIDE,
    "translate_x": Range(0, 32, signed=True),
    "translate_y": Range(0, 32, signed=True),
    "rotate": Range(0, 135, signed=True),
    **dict.fromkeys(_COLOURS, _WIDE),
    "posterize": Range(8, 2),
}
# arXiv 1912.02781, section 3: none that robustness to colours and noise is measured with.
AUGMIX: Mapping[str, Range] = {
    "auto_contrast": NO_VALUE,
    "equalize": NO_VALUE,
    "posterize": Range(4, 0),
    "rotate": _TURNED,
    "solarize": _SOLARIZED,
    "shear_x": _SHEARED,
    "shear_y": _SHEARED,
    **_range_of_moves(1 / 3),
}

Choice = tuple[str, float, int]
"""An operation, its probability, its magnitude as an index of ten."""
# arXiv 1805.09501, table 9 of its appendix.
IMAGENET: tuple[tuple[Choice, Choice], ...] = (
    (("posterize", 0.4, 8), ("rotate", 0.6, 9)),
    (("solarize", 0.6, 5), ("auto_contrast", 0.6, 5)),
    (("equalize", 0.8, 8), ("equalize", 0.6, 3)),
    (("posterize", 0.6, 7), ("posterize", 0.6, 6)),
    (("equalize", 0.4, 7), ("solarize", 0.2, 4)),
    (("equalize", 0.4, 4), ("rotate", 0.8, 8)),
    (("solarize", 0.6, 3), ("equalize", 0.6, 7)),
    (("posterize", 0.8, 5), ("equalize", 1.0, 2)),
    (("rotate", 0.2, 3), ("solarize", 0.6, 8)),
    (("equalize", 0.6, 8), ("posterize", 0.4, 6)),
    (("rotate", 0.8, 8), ("color", 0.4, 0)),
    (("rotate", 0.4, 9), ("equalize", 0.6, 2)),
    (("equalize", 0.0, 7), ("equalize", 0.8, 8)),
    (("invert", 0.6, 4), ("equalize", 1.0, 8)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("rotate", 0.8, 8), ("color", 1.0, 2)),
    (("color", 0.8, 8), ("solarize", 0.8, 7)),
    (("sharpness", 0.4, 7), ("invert", 0.6, 8)),
    (("shear_x", 0.6, 5), ("equalize", 1.0, 9)),
    (("color", 0.4, 0), ("equalize", 0.6, 3)),
    (("equalize", 0.4, 7), ("solarize", 0.2, 4)),
    (("solarize", 0.6, 5), ("auto_contrast", 0.6, 5)),
    (("invert", 0.6, 4), ("equalize", 1.0, 8)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("equalize", 0.8, 8), ("equalize", 0.6, 3)),
)
# Table 7.
CIFAR10: tuple[tuple[Choice, Choice], ...] = (
    (("invert", 0.1, 7), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
    (("auto_contrast", 0.5, 8), ("equalize", 0.9, 2)),
    (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
    (("color", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 5), ("equalize", 0.5, 1)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("color", 0.7, 7), ("translate_x", 0.5, 8)),
    (("equalize", 0.3, 7), ("auto_contrast", 0.4, 8)),
    (("translate_y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("color", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 3)),
    (("equalize", 0.2, 0), ("auto_contrast", 0.6, 0)),
    (("equalize", 0.2, 8), ("equalize", 0.6, 4)),
    (("color", 0.9, 9), ("equalize", 0.6, 6)),
    (("auto_contrast", 0.8, 4), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("color", 0.7, 0)),
    (("solarize", 0.4, 5), ("auto_contrast", 0.9, 3)),
    (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
    (("auto_contrast", 0.9, 2), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 8), ("invert", 0.1, 3)),
    (("translate_y", 0.7, 9), ("auto_contrast", 0.9, 1)),
)
POLICIES = {"imagenet": IMAGENET, "cifar10": CIFAR10}
