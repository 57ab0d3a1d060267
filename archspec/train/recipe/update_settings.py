"""What a recipe says of an update: loss scale, clipping, moving averages, frozen parts."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError, PydanticKnownError
from typing_extensions import Self

from archspec.settings import Flag, SpecModel, broken_rule
from archspec.train.recipe.numbers import Positive


def _check_dynamic(value: str) -> str:
    # Pydantic's own message would name 'dynamic' alone, though a number is right too.
    if value != "dynamic":
        raise PydanticKnownError("literal_error", {"expected": "'dynamic' or a number"})
    return value


LossScale = Annotated[
    Annotated[Positive, Tag("fixed")]
    | Annotated[Literal["dynamic"], BeforeValidator(_check_dynamic), Tag("dynamic")],
    Discriminator(lambda value: "dynamic" if isinstance(value, str) else "fixed"),
]


class DynamicLossScale(SpecModel):
    """A loss scale that falls when gradients overflow, where the update is left out, and rises when
    they have not for a while.
    """

    initial: Annotated[float, Field(strict=True, ge=1, le=2**32)] = 65_536.0
    """What it begins with."""
    factor: Annotated[float, Field(strict=True, gt=1, le=1_024)] = 2.0
    """What it is divided and multiplied by."""
    window: Annotated[int, Field(strict=True, ge=1, le=2**30)] = 2_000
    """Updates without overflow after which it rises."""


class ClipRecipe(SpecModel):
    """A bound of gradients: of the norm of all together, or of each value."""

    MAIN_KEY: ClassVar[str] = "norm"
    norm: Positive | None = None
    """All are scaled down to it where their norm is larger (arXiv 1211.5063)."""
    value: Positive | None = None
    """Each lies between it and its negative."""

    @model_validator(mode="after")
    def _check_one_is_said(self) -> Self:
        if (self.norm is None) == (self.value is None):
            raise broken_rule((), "clip must have either norm or value")
        return self


class EmaRecipe(SpecModel):
    """An exponential moving average of all parameters and moving statistics, judged beside them."""

    MAIN_KEY: ClassVar[str] = "decay"
    decay: Annotated[float, Field(strict=True, gt=0, lt=1)] = 0.9999
    """Share of the average that an update keeps."""
    warmup: Flag = True
    """Whether the decay rises with the updates t, decay (1 - exp(-t / 2000)), as MindCV's does;
    else the first weights count for long."""


_PART = re.compile(r"(stem|head|(?:block|transition)s? [1-9]\d?(?: ?- ?[1-9]\d?)?)")
_FORM = "must be parts such as stem, block 1, blocks 1-2, transition 1, head"


def _read_parts(written: Any) -> Any:
    """`stem, blocks 1-2`, or a list of such -> each part by its own name, in the order given."""
    items = written.split(",") if isinstance(written, str) else written or ()
    if not isinstance(items, (list, tuple)):
        raise PydanticCustomError("parts", _FORM)
    found: list[str] = []
    for item in items:
        found.extend(_read_part(item))
    return tuple(dict.fromkeys(found))


def _read_part(item: Any) -> list[str]:
    words = " ".join(item.lower().split()) if isinstance(item, str) else ""
    if not _PART.fullmatch(words):
        raise PydanticCustomError("parts", _FORM)
    kind, _, numbers = words.partition(" ")
    if not numbers:
        return [kind]
    first, *rest = (int(number) for number in numbers.split("-"))
    last = rest[0] if rest else first
    if last < first:
        raise PydanticCustomError("parts", "must name a range from a part to a later one")
    return [f"{kind.removesuffix('s')} {number}" for number in range(first, last + 1)]


FrozenParts = Annotated[
    tuple[str, ...], BeforeValidator(_read_parts, json_schema_input_type=str | tuple[str, ...])
]
