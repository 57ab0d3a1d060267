"""The parts of a network as a spec writes them: input, stem, blocks, transitions, head.

Each consists of steps (archspec/spec/steps.py): a template's name, a list, or what the part's own settings
come to. A bare name or list in place of a part's settings is short for its `steps`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError, PydanticKnownError
from typing_extensions import Self

from archspec.operators.convolutions import ConvStep
from archspec.operators.pools import PoolStep
from archspec.settings import (
    Channels,
    Factor,
    Flag,
    Growth,
    OddKernel,
    Path,
    Pixels,
    Pooling,
    Rate,
    Share,
    SpecModel,
    broken_rule,
    raise_broken_rules,
)
from archspec.spec.connectivity import Connectivity
from archspec.spec.steps import StepSpec
from archspec.spec.templates import HeadSteps, LayerSteps, StemSteps, TransitionSteps, steps_of
from archspec.spec.widths import OF_A_LAYER, faulty_widths

Multiplier = Annotated[float, Field(strict=True, gt=0, le=16, allow_inf_nan=False)]
PerLayer = Annotated[
    Annotated[Growth, Tag("number")]
    | Annotated[tuple[Growth, ...], Field(min_length=1), Tag("list")],
    Discriminator(lambda value: "list" if isinstance(value, (list, tuple)) else "number"),
]

LAYER = re.compile(r"[1-9][0-9]{0,3}")
"""A layer's number as a key of YAML, which is a word."""


def _numbered_layer(value: Any) -> int:
    if isinstance(value, bool) or not (
        isinstance(value, (int, str)) and LAYER.fullmatch(str(value))
    ):
        raise PydanticCustomError("layer", "must be the number of a layer")
    return int(value)


LayerNumber = Annotated[int, BeforeValidator(_numbered_layer)]


class InputSpec(SpecModel):
    """The image that the network reads, (N, channels, height, width)."""

    channels: Annotated[int, Field(strict=True, ge=1, le=1_024)] = 3
    """Of the image: 3 for colour, 1 for grey."""
    height: Pixels = 224
    """Pixels."""
    width: Pixels = 224
    """Pixels."""


_OF_THE_CONVOLUTION = ("kernel", "stride", "norm")
"""Settings of a stem that has no steps of its own."""


class StemSpec(SpecModel):
    """Convolution, norm and activation, or the steps that are given; then pooling."""

    channels: Channels | None = None
    """Output channels; 2 x growth_rate where absent (the paper's BC networks)."""
    kernel: OddKernel = 7
    """Pixels of the convolution's window."""
    stride: Annotated[int, Field(strict=True, ge=1, le=4)] = 2
    """Of the convolution."""
    norm: Flag = True
    """Norm and activation after the convolution; the paper's CIFAR networks have none here."""
    pool: Pooling | None = None
    """3 x 3 pooling with stride 2 and padding 1 at the stem's end; `max` where absent, none after a list."""
    steps: StemSteps | None = None
    """A template of stems.yaml or a list of steps, instead of kernel, stride and norm."""

    @model_validator(mode="after")
    def _steps_say_it_all(self) -> Self:
        both = [
            key
            for key in _OF_THE_CONVOLUTION
            if self.steps is not None and key in self.model_fields_set
        ]
        why = "belongs to the stem without steps; say it in the steps"
        raise_broken_rules(
            [
                *(((key,), f"stem.{key} {why}") for key in both),
                *faulty_widths(self.steps, ("in", "out", "k")),
            ]
        )
        return self

    @model_serializer(mode="wrap")
    def _without_what_the_steps_say(self, whole: SerializerFunctionWrapHandler) -> Any:
        values = whole(self)
        return (
            values
            if self.steps is None
            else {k: v for k, v in values.items() if k not in _OF_THE_CONVOLUTION}
        )

    def listed(self) -> tuple[StepSpec, ...]:
        """Return the stem's steps."""
        pool = self.pool or ("none" if isinstance(self.steps, tuple) else "max")
        end = [_step(f"{pool}_pool", PoolStep(kernel=3, stride=2, padding=1))] * (pool != "none")
        if self.steps is not None:
            return (*steps_of("stems", self.steps), *end)
        conv = _step("conv", ConvStep(width="out", kernel=self.kernel, stride=self.stride))
        return (conv, *[_step("norm"), _step("activation")] * self.norm, *end)


class WidthSpec(SpecModel):
    """A part that is as wide as a number or a share says."""

    compression: Share | None = None
    """Share of the channels that it keeps (theta), rounded down."""
    channels: Channels | None = None
    """Output channels, instead of a share."""

    @model_validator(mode="after")
    def _one_width(self) -> Self:
        if self.compression is not None and self.channels is not None:
            raise broken_rule(
                "channels", "channels and compression both say how wide the part is; keep one"
            )
        return self

    def wide(self, channels: int) -> int:
        """Return the output channels of the part where it reads `channels`."""
        if self.channels is not None:
            return self.channels
        return channels if self.compression is None else compressed(channels, self.compression)


def compressed(channels: int, compression: float) -> int:
    """Return floor(compression x channels), exact in decimals: 0.29 x 100 is 29, not 28."""
    return math.floor(Fraction(str(compression)) * channels)


class AggregateSpec(WidthSpec):
    """Steps behind the join at a block's end, which read all that it gathers; by default conv-norm-act, 1 x 1."""

    steps: TransitionSteps = "post_activation"
    """A template of transitions.yaml or a list of steps."""

    @model_validator(mode="after")
    def _known_widths(self) -> Self:
        raise_broken_rules(faulty_widths(self.steps, ("in", "out")))
        return self

    def listed(self) -> tuple[StepSpec, ...]:
        """Return the steps."""
        return steps_of("transitions", self.steps)


class BlockSpec(SpecModel):
    """A dense block; what it does not say, the spec says for all blocks."""

    layers: Annotated[int, Field(strict=True, ge=1, le=4_096)]
    """How many layers the block has."""
    growth_rate: PerLayer | None = None
    """Channels that each layer adds (k), one number for all or a list with one for each layer."""
    growth_multiplier: Multiplier | None = None
    """As the spec's, for this block alone."""
    layer: LayerSteps | None = None
    """What each layer consists of, as the spec's, for this block alone."""
    layer_at: Mapping[LayerNumber, LayerSteps] | None = None
    """By number, counted from 1: layers that consist of other steps than `layer` says, `{1: basic, 4: [...]}`."""
    bottleneck: Factor | None = None
    """As the spec's, for this block alone."""
    drop_rate: Rate | None = None
    """As the spec's, for this block alone."""
    connectivity: Connectivity | None = None
    """Which sources each layer reads, as the spec's, for this block alone."""
    aggregate: AggregateSpec | None = None
    residual: Flag = False
    """Whether the block's input is added to its output, which must have as many channels."""

    @model_validator(mode="after")
    def _fits_its_layers(self) -> Self:
        faults = [*faulty_widths(self.layer, OF_A_LAYER, "layer"), *self._misfit_layers()]
        if isinstance(self.growth_rate, tuple) and len(self.growth_rate) != self.layers:
            listed = f"growth_rate (={len(self.growth_rate)} entries)"
            faults.append(
                (
                    ("growth_rate",),
                    f"{listed} must have one for each of the layers (={self.layers})",
                )
            )
        if self.connectivity is not None:
            faults += (
                (("connectivity", *path), rule)
                for path, rule in self.connectivity.misfits(self.layers)
            )
        raise_broken_rules(faults)
        return self

    def _misfit_layers(self) -> Iterator[tuple[Path, str]]:
        """Layers of `layer_at` that the block does not have, and faulty widths of the others."""
        for number, steps in (self.layer_at or {}).items():
            if number > self.layers:
                rule = f"no such layer; the block has layers 1 to {self.layers}"
                yield ("layer_at", str(number)), f"layer_at[{number}]: {rule}"
            yield from faulty_widths(steps, OF_A_LAYER, "layer_at", str(number))


def _known_skip(value: str) -> str:
    if value != "stem":
        raise PydanticKnownError("literal_error", {"expected": "'stem' or the number of a block"})
    return value


Skip = Annotated[
    Annotated[int, Field(strict=True, ge=1, le=64), Tag("number")]
    | Annotated[Literal["stem"], BeforeValidator(_known_skip), Tag("stem")],
    Discriminator(lambda value: "stem" if isinstance(value, str) else "number"),
]
_OF_A_SKIP = {
    "crop": "to whose size it cuts",
    "join": "which it joins",
    "order": "whose place in the join it says",
    "after": "behind whose join it stands",
}


class TransitionSpec(WidthSpec):
    """Between two blocks: norm, activation, 1 x 1 convolution and 2 x 2 pooling, or the steps that are given.

    Where it says no width, the spec's compression holds.
    """

    pool: Pooling | None = None
    """2 x 2 pooling with stride 2 at its end; `avg` where absent, none after a list of steps."""
    steps: TransitionSteps | None = None
    """A template of transitions.yaml or a list of steps; `pre_activation` where absent."""
    skip: Skip | None = None
    """The number of an earlier block, or `stem`, whose output is joined at the transition's end."""
    crop: Flag = False
    """Whether what was enlarged is cut, at its centre, to the size of the skip."""
    join: Literal["concat", "add"] = "concat"
    """How the skip is joined."""
    order: Literal["skip_last", "skip_first"] = "skip_last"
    """Whether a concatenation has the skip behind what the steps give (the U-Net's authors) or before it."""
    after: TransitionSteps | None = None
    """Steps behind the skip's join."""

    @model_validator(mode="after")
    def _says_what_it_skips(self) -> Self:
        said = [
            key for key in _OF_A_SKIP if getattr(self, key) != type(self).model_fields[key].default
        ]
        faults = [
            ((key,), f"{key} needs a skip, {_OF_A_SKIP[key]}") for key in said if self.skip is None
        ]
        if self.order == "skip_first" and self.join == "add":
            faults.append((("order",), "order does nothing beside join: add, which has none"))
        known = ("in", "out")
        raise_broken_rules(
            [*faults, *faulty_widths(self.steps, known), *faulty_widths(self.after, known, "after")]
        )
        return self

    @property
    def says_it_all(self) -> bool:
        """Its steps leave no place for a pooling that they do not name."""
        return isinstance(self.steps, tuple) or self.steps == "none"

    def listed(self) -> tuple[StepSpec, ...]:
        """Return the transition's steps."""
        pool = self.pool or ("none" if self.says_it_all else "avg")
        end = [_step(f"{pool}_pool", PoolStep(kernel=2, stride=2))] * (pool != "none")
        return (*steps_of("transitions", self.steps or "pre_activation"), *end)


class HeadSpec(SpecModel):
    """Norm, activation, global average pooling, dropout, dense layer, or the steps that are given."""

    num_classes: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 1000
    """Classes that the network tells apart."""
    dropout: Rate = 0.0
    """Rate of the head's dropout."""
    steps: HeadSteps = "classifier"
    """A template of heads.yaml or a list of steps."""

    @model_validator(mode="after")
    def _known_widths(self) -> Self:
        raise_broken_rules(faulty_widths(self.steps, ("in", "out")))
        return self

    def listed(self) -> tuple[StepSpec, ...]:
        """Return the head's steps."""
        return steps_of("heads", self.steps)


def _step(kind: str, settings: Any = None) -> StepSpec:
    return StepSpec.model_construct({kind}, **{kind: settings})


def _steps_alone(value: Any) -> Any:
    return {"steps": value} if isinstance(value, (str, list, tuple)) else value


Stem = Annotated[StemSpec, BeforeValidator(_steps_alone)]
Transition = Annotated[TransitionSpec, BeforeValidator(_steps_alone)]
Head = Annotated[HeadSpec, BeforeValidator(_steps_alone)]
