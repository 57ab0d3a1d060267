"""What a recipe says of policies that choose among operations, and of erasing."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from typing_extensions import Self

from archspec.settings import SpecModel, raise_broken_rules
from archspec.train.recipe.numbers import (
    AreaRange,
    Few,
    Level,
    Positive,
    Probability,
    RatioRange,
    find_falling,
)

_USUAL_MAGNITUDES = {"randaugment": 9.0, "augmix": 3.0}


class PolicyRecipe(SpecModel):
    """Operations drawn for each image; `randaugment` is short for `{kind: randaugment}`.

    Magnitudes count to 10, as in the papers and MindCV; torchvision's RandAugment counts to 30.
    """

    kind: Literal["randaugment", "autoaugment", "trivialaugment", "augmix"]
    """Of arXiv 1909.13719, 1805.09501, 2103.10158 (the wide one), 1912.02781."""
    operations: Few = 2
    """RandAugment: how many, one after the other."""
    magnitude: Level | None = None
    """RandAugment: how strong, 9 where absent; AugMix: the strongest, 3 where absent."""
    magnitude_std: Level = 0.0
    """RandAugment and AutoAugment: of normal noise on the magnitude."""
    probability: Probability = 1.0
    """RandAugment: of each operation; timm and MindCV have 0.5."""
    policy: Literal["imagenet", "cifar10"] = "imagenet"
    """AutoAugment: the data that it was found for."""
    width: Few = 3
    """AugMix: chains that are mixed."""
    depth: Few | None = None
    """AugMix: operations of each chain; 1 to 3 are drawn where absent."""
    alpha: Annotated[Positive, Field(le=100)] = 1.0
    """AugMix: of the distributions of the weights."""

    @property
    def strength(self) -> float:
        """The magnitude; where none is said, that of the kind."""
        return _USUAL_MAGNITUDES[self.kind] if self.magnitude is None else self.magnitude


class ErasingRecipe(SpecModel):
    """A rectangle of an image is erased (arXiv 1708.04896);
    `0.25` is short for `{probability: 0.25}`.
    """

    probability: Probability
    """That an image has one."""
    scale: AreaRange = (0.02, 0.33)
    """Its share of the area, drawn evenly."""
    ratio: RatioRange = (0.3, 3.3)
    """Its height to its width, drawn evenly in the logarithm."""
    value: Annotated[
        Annotated[float, Field(strict=True, ge=-1000, le=1000), Tag("number")]
        | Annotated[Literal["random"], Tag("word")],
        Discriminator(lambda value: "word" if isinstance(value, str) else "number"),
    ] = 0.0
    """What it is filled with, after normalisation: 0 is the mean colour,
    `random` noise of mean 0 and deviation 1."""
    attempts: Annotated[int, Field(strict=True, ge=1, le=100)] = 10
    """Rectangles drawn until one fits; where none does, nothing is erased."""

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        raise_broken_rules(find_falling(self, "scale", "ratio"))
        return self


def _accept_bare_kind(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


def _accept_bare_probability(value: Any) -> Any:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return {"probability": value} if is_number else value


Policy = Annotated[PolicyRecipe, BeforeValidator(_accept_bare_kind)]
Erasing = Annotated[ErasingRecipe, BeforeValidator(_accept_bare_probability)]
