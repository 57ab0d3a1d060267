"""What a recipe says of the loss: what it measures, and how classes count in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticKnownError

from archspec.settings import SpecModel
from archspec.train.recipe.numbers import Share

Weight = Annotated[float, Field(strict=True, ge=0, le=1e6, allow_inf_nan=False)]


def _check_balanced(value: str) -> str:
    # Pydantic's own message would name 'balanced' alone, though a list is right too.
    if value != "balanced":
        raise PydanticKnownError(
            "literal_error", {"expected": "'balanced' or a list of a weight for each class"}
        )
    return value


ClassWeights = Annotated[
    Annotated[Literal["balanced"], BeforeValidator(_check_balanced), Tag("balanced")]
    | Annotated[tuple[Weight, ...], Field(min_length=1, max_length=65_536), Tag("weights")],
    Discriminator(lambda value: "balanced" if isinstance(value, str) else "weights"),
]


class LossRecipe(SpecModel):
    """What training makes small."""

    kind: Literal["cross_entropy", "bce", "focal"] = "cross_entropy"
    """cross_entropy of the softmax; bce: binary cross entropy of each class's sigmoid, also where
    an image has several labels; focal: cross entropy times (1 - p) ** gamma, arXiv 1708.02002."""
    label_smoothing: Share = 0.0
    """Share of the target that is spread over all classes."""
    class_weights: ClassWeights | None = None
    """What each class's term is multiplied by, in the order of the classes; `balanced`: images /
    (classes x images of the class), or pixels where each has a class. Of one label an image, or
    pixel, the mean is weighted too, as PyTorch has it."""
    gamma: Annotated[float, Field(strict=True, ge=0, le=100)] = 2.0
    """Focal: how much less what is already right counts."""


def class_weights_of(
    loss: LossRecipe,
    labels: Sequence[Any],
    num_classes: int,
    count_pixels: Callable[[], Sequence[int]] | None = None,
) -> tuple[float, ...] | None:
    """Return the weight of each class, or None where all count alike.

    Args:
        loss: what the recipe says.
        labels: the class of each training image; or of several labels a row of 0 and 1.
        num_classes: how many logits the network gives.
        count_pixels: where each pixel has a class, what counts those of each; called if need be.

    A class without images, or pixels, weighs 1: nothing tells how rare it is.
    """
    if loss.class_weights is None or not isinstance(loss.class_weights, str):
        return loss.class_weights
    counts = [0] * num_classes
    if count_pixels is not None:
        counted = [int(count) for count in count_pixels()]
        counts, total = counted + counts[len(counted) :], sum(counted)
    else:
        for number in chain.from_iterable(map(_numbers_of, labels)):
            counts[number] += 1
        total = len(labels)  # of several labels an image too: each is one of the images
    weights = [1.0] * num_classes
    for number, count in enumerate(counts):
        if count:
            weights[number] = total / (num_classes * count)
    return tuple(weights)


def _numbers_of(label: Any) -> Sequence[int]:
    if getattr(label, "ndim", 0) == 0:
        return (int(label),)
    return [number for number, has_label in enumerate(label) if has_label]
