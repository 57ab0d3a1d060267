"""Steps: what a stem, a layer, a transition or a head consists of, one operator after the other.

    [norm, activation, {conv: {width: k, kernel: 3}}, {dropout: {rate: 0.2}}]

A step is a mapping of one kind to its settings; where all are default, the kind alone will do.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError, PydanticKnownError
from typing_extensions import Self

from archspec.spec.fields import (
    Channels,
    Flag,
    Padding,
    Rate,
    SpecModel,
    Stride,
    Window,
    broken_rule,
    no_truth,
)

ActivationKind = Literal[
    "relu", "relu6", "silu", "gelu", "hard_swish", "leaky_relu", "prelu", "sigmoid", "hard_sigmoid"
]
NormKind = Literal["batch", "layer", "group", "none"]

MAX_STEPS = 64

_OF_THE_SPEC = ("name", "norm", "activation")
"""Keys of a step for which nothing has a meaning of its own."""

WIDTHS = ("in", "out", "k", "bottleneck")
"""What a width may be a multiple or a part of: see `Width`."""

WIDTH = re.compile(rf"(\d{{1,4}}(?:\.\d{{1,4}})?)? ?({'|'.join(WIDTHS)})(?: ?/ ?([1-9]\d{{0,3}}))?")


def _checked_width(value: Any, least: int = 1) -> Any:
    if isinstance(value, str):
        if not WIDTH.fullmatch(value):
            raise PydanticCustomError(
                "width", "must be a number of channels, or of the form 4k, k/2, in/16, out"
            )
        return value
    if isinstance(value, bool) or not isinstance(value, int):
        raise PydanticCustomError(
            "width", "must be a number of channels, or of the form 4k, k/2, in/16, out"
        )
    if not least <= value <= 65_536:
        raise PydanticCustomError("width", f"must be in [{least}, 65536]")
    return value


def _checked_border(value: Any) -> Any:
    return _checked_width(value, least=0)


Width = Annotated[int | str, BeforeValidator(_checked_width)]
"""Channels: a number, or a multiple or part, rounded down, of

in          what enters the list of steps (or the branch)
out         what the part gives: a layer's growth rate, a transition's channels, a head's classes
k           the layer's growth rate
bottleneck  bottleneck x k
"""


def width_of(width: int | str, known: dict[str, int]) -> int:
    """Return the channels that a width comes to; `known` says how many `in`, `out`, `k`, `bottleneck` are.

    Raises:
        KeyError: the width names what this part does not have.
    """
    if isinstance(width, int):
        return width
    found = WIDTH.fullmatch(width)
    assert found is not None
    factor, name, divisor = found.groups()
    return math.floor(Fraction(factor or 1) * known[name] / int(divisor or 1))


def named_widths(step: StepSpec) -> Iterator[str]:
    """Yield what the widths of a step are multiples or parts of."""
    for key in ("width", "start", "stop"):
        width = getattr(step.settings, key, None)
        found = WIDTH.fullmatch(width) if isinstance(width, str) else None
        if found:
            yield found[2]


def same_padding(kernel: int, dilation: int) -> int | None:
    """Return the pixels on each side with which a stride of 1 keeps height and width, the one default there is.

    None where dilation x (kernel - 1) is odd: such a window has no middle, and frameworks round either way.
    """
    around = dilation * (kernel - 1)
    return None if around % 2 else around // 2


class ConvStep(SpecModel):
    """A convolution, padded so that a stride of 1 keeps height and width."""

    width: Width | None = None
    """Output channels; as many as it reads where absent."""
    kernel: Window
    """Pixels of the square window."""
    stride: Stride = 1
    """Pixels from window to window."""
    padding: Padding | None = None
    """Pixels on each side; dilation x (kernel - 1) / 2 where absent, which must be a whole number."""
    dilation: Annotated[int, Field(strict=True, ge=1, le=64)] = 1
    """Pixels from tap to tap of the window."""
    groups: Channels | Literal["depthwise"] = 1
    """`depthwise`: as many groups as it reads channels."""
    bias: Flag = False
    """Whether it adds a number to each channel."""

    @model_validator(mode="after")
    def _says_a_padding_that_no_rule_gives(self) -> Self:
        around = self.dilation * (self.kernel - 1)
        if self.padding is None and same_padding(self.kernel, self.dilation) is None:
            halves = " or ".join(str(half) for half in (around // 2, around // 2 + 1) if half)
            choice = f"say padding: 0, as a patch stem has it, or the rounded half, {halves}"
            why = f"dilation x (kernel - 1) (={around}) is odd, so the window has no middle"
            raise broken_rule("padding", f"padding must be said where {why}; {choice}")
        return self


class ConvTransposeStep(SpecModel):
    """A transposed convolution, which enlarges height and width by its stride."""

    width: Width | None = None
    """Output channels; as many as it reads where absent."""
    kernel: Window
    """Pixels of the square window."""
    stride: Stride
    """How many times larger the result is; exactly so where kernel = stride + 2 x padding."""
    padding: Padding = 0
    """Pixels that are cut from each side of the result."""
    bias: Flag = False
    """Whether it adds a number to each channel."""


class PoolStep(SpecModel):
    """Pooling over windows."""

    kernel: Window
    """Pixels of the square window."""
    stride: Stride
    """Pixels from window to window."""
    padding: Padding = 0
    """Pixels on each side."""
    ceil: Flag = False
    """Whether a window that reaches over the edge counts."""

    @model_validator(mode="after")
    def _windows_that_hold_a_pixel(self) -> Self:
        """As PyTorch has it: a window beyond the edge would hold nothing but padding."""
        if self.padding > self.kernel // 2:
            rule = f"must be at most half of kernel (={self.kernel})"
            raise broken_rule("padding", f"padding (={self.padding}) {rule}")
        return self


class BlurPoolStep(SpecModel):
    """A fixed binomial filter with reflected edges (Zhang 2019), which shrinks by its stride."""

    kernel: Annotated[Literal[3, 5], BeforeValidator(no_truth)] = 3
    """Pixels of the filter."""
    stride: Stride = 2
    """Pixels from window to window."""


class GlobalPoolStep(SpecModel):
    """The mean over all pixels."""

    keep: Flag = False
    """Whether the result stays a feature map, (N, C, 1, 1), instead of (N, C)."""


class UpsampleStep(SpecModel):
    """Each pixel repeated, or interpolated between."""

    factor: Annotated[int, Field(strict=True, ge=2, le=32)] = 2
    """How many times higher and wider."""
    mode: Literal["nearest", "bilinear"] = "nearest"
    """Whether pixels are repeated or interpolated between."""


class SliceStep(SpecModel):
    """Some of the channels: from `start`, counted from 0, up to but without `stop`."""

    start: Annotated[int | str, BeforeValidator(_checked_border)] | None = None
    """The first where absent."""
    stop: Width | None = None
    """All the others where absent."""


class ShuffleStep(SpecModel):
    """The channels of all groups interleaved, so that a convolution with groups reads from each (Zhang et al. 2018)."""

    groups: Channels
    """How many."""


def _named_kind(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


_OF_ONE_NORM: Mapping[str, str] = {"momentum": "batch", "groups": "group"}


class NormSpec(SpecModel):
    """Normalisation. Defaults: torchvision's eps, and MindSpore's momentum (PyTorch's 0.1)."""

    kind: NormKind = "batch"
    """`layer` is over the channels of each pixel."""
    eps: Annotated[float, Field(strict=True, gt=0, le=1, allow_inf_nan=False)] = 1e-5
    """Added to the variance."""
    momentum: Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)] = 0.9
    """Of `batch` alone: share of the moving statistics that a step keeps, MindSpore's sense, 1 - PyTorch's."""
    groups: Channels = 32
    """Of `group` alone."""

    @model_validator(mode="after")
    def _settings_of_the_kind(self) -> Self:
        for key, kind in _OF_ONE_NORM.items():
            if key in self.model_fields_set and self.kind != kind:
                raise broken_rule(key, f"{key} is a setting of the norm {kind}, not of {self.kind}")
        return self

    @model_serializer(mode="wrap")
    def _its_own(self, whole: SerializerFunctionWrapHandler) -> Any:
        return {
            key: value
            for key, value in whole(self).items()
            if _OF_ONE_NORM.get(key, self.kind) == self.kind
        }


class ActivationSpec(SpecModel):
    """An activation; `silu` is short for `{kind: silu}`."""

    kind: ActivationKind = "relu"
    """Of the function."""
    slope: Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)] | None = None
    """Of negative values: of leaky_relu (0.01 where absent), at the start of prelu (0.25)."""

    @model_validator(mode="after")
    def _slope_of_the_kind(self) -> Self:
        if self.slope is not None and self.kind not in ("leaky_relu", "prelu"):
            raise broken_rule(
                "slope", f"slope is a setting of leaky_relu and prelu, not of {self.kind}"
            )
        return self

    @model_serializer(mode="wrap")
    def _short(self, whole: SerializerFunctionWrapHandler) -> Any:
        return self.kind if self.slope is None else whole(self)


Activation = Annotated[ActivationSpec, BeforeValidator(_named_kind)]
Norm = Annotated[NormSpec, BeforeValidator(_named_kind)]


class DropoutStep(SpecModel):
    """Dropout of single values; the part's rate where absent, and nothing at all for a rate of 0."""

    rate: Rate | None = None
    """Share of the values that are dropped in training."""


class DenseStep(SpecModel):
    """A dense layer over the channels."""

    width: Width = "out"
    """Output channels."""
    bias: Flag = True
    """Whether it adds a number to each channel."""


class SqueezeExciteStep(SpecModel):
    """Scales each channel by a gate that reads the mean of all (Hu et al. 2018)."""

    reduction: Annotated[int, Field(strict=True, ge=1, le=256)] = 16
    """The gate's inner width is the channels divided by this."""
    activation: Activation = ActivationSpec()
    """Inside the gate."""
    gate: Literal["sigmoid", "hard_sigmoid"] = "sigmoid"
    """The function that ends the gate."""


class BranchesStep(SpecModel):
    """Several lists of steps that read the same feature map; an empty one passes it on as it is."""

    join: Literal["concat", "add", "multiply"] = "concat"
    """`add` and `multiply` take branches of equal shape."""
    of: Annotated[tuple[tuple[Step, ...], ...], Field(min_length=2, max_length=16)]
    """The lists of steps."""

    @model_validator(mode="after")
    def _two_to_multiply(self) -> Self:
        if self.join == "multiply" and len(self.of) > 2:
            rule = "must be two to multiply: the second scales the first"
            raise broken_rule("of", f"of (={len(self.of)} branches) {rule}")
        return self


class StepSpec(SpecModel):
    """One operator."""

    name: Annotated[
        str,
        Field(strict=True, pattern=r"^[A-Za-z][A-Za-z0-9_]{0,31}(\.[A-Za-z][A-Za-z0-9_]{0,31})?$"),
    ] = ""
    """Of its parameters; numbered by kind where absent (`conv1`, `norm2`)."""
    conv: ConvStep | None = None
    conv_transpose: ConvTransposeStep | None = None
    norm: Norm | None = None
    activation: Activation | None = None
    max_pool: PoolStep | None = None
    avg_pool: PoolStep | None = None
    blur_pool: BlurPoolStep | None = None
    global_pool: GlobalPoolStep | None = None
    upsample: UpsampleStep | None = None
    dropout: DropoutStep | None = None
    dense: DenseStep | None = None
    squeeze_excite: SqueezeExciteStep | None = None
    slice: SliceStep | None = None
    shuffle: ShuffleStep | None = None
    branches: BranchesStep | None = None

    @model_validator(mode="after")
    def _one_operator(self) -> Self:
        kinds = self.model_fields_set - {"name"}
        if len(kinds) != 1:
            given = ", ".join(sorted(kinds)) or "none"
            raise broken_rule(
                (), f"a step is one operator (given: {given}); write a list item for each"
            )
        return self

    @model_serializer(mode="wrap")
    def _short(self, whole: SerializerFunctionWrapHandler) -> Any:
        """As it is written: the kind alone where nothing else is said."""
        settings = whole(self).get(self.kind)
        if isinstance(settings, dict):
            settings = {
                key: value
                for key, value in settings.items()
                if key in self.settings.model_fields_set
            }
        if (
            not self.name
            and not settings
            and (self.settings is None or self.kind not in _OF_THE_SPEC)
        ):
            return self.kind
        return {**({"name": self.name} if self.name else {}), self.kind: settings}

    @property
    def kind(self) -> str:
        """The operator's kind, `conv`."""
        return next(iter(self.model_fields_set - {"name"}))

    @property
    def settings(self) -> Any:
        """The operator's settings; None where the spec's own are meant (a bare `norm` or `activation`)."""
        return getattr(self, self.kind)


def _whole_step(value: Any) -> Any:
    """A bare kind, or one without a value, is a step with default settings; norm and activation are the spec's own."""
    kinds = [kind for kind in StepSpec.model_fields if kind != "name"]
    if isinstance(value, str) and value not in kinds:
        raise PydanticKnownError("literal_error", {"expected": ", ".join(map(repr, kinds))})
    step = {value: None} if isinstance(value, str) else value
    if not isinstance(step, dict):
        return step
    return {
        key: {} if given is None and key not in _OF_THE_SPEC else given
        for key, given in step.items()
    }


Step = Annotated[StepSpec, BeforeValidator(_whole_step)]
Steps = Annotated[tuple[Step, ...], Field(min_length=1, max_length=MAX_STEPS)]
BranchesStep.model_rebuild()
StepSpec.model_rebuild()
