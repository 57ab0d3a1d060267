"""The spec of a densely connected network: frozen, explicit, unknown keys refused.

Defaults are DenseNet-BC's for ImageNet (Huang et al. 2017, table 1, as torchvision and MindCV build it).
What stands here changes the function; initialisation, optimisation and data stand in the recipe.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError, PydanticKnownError

from archspec.spec.document import Document, Path

Activation = Literal["relu", "relu6", "silu", "gelu", "hard_swish"]
Template = Literal["bottleneck", "basic"]
Channels = Annotated[int, Field(strict=True, ge=1, le=65_536)]
Rate = Annotated[float, Field(strict=True, ge=0, lt=1, allow_inf_nan=False)]
Growth = Annotated[int, Field(strict=True, ge=1, le=4_096)]
Factor = Annotated[int, Field(strict=True, ge=1, le=64)]
Compression = Annotated[float, Field(strict=True, gt=0, le=1, allow_inf_nan=False)]
Pixels = Annotated[int, Field(strict=True, ge=1, le=8_192)]


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):  # Python's True equals 1
        raise PydanticKnownError("int_type")
    return value


Kernel = Annotated[Literal[1, 3, 5, 7], BeforeValidator(_no_truth)]

MAX_CONNECTIONS = 4_000_000
"""Direct connections in all blocks together; two blocks of 2,000 layers."""


class SpecModel(BaseModel):
    """What every part of a spec or recipe shares."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class WrittenModel(SpecModel):
    """A whole document, which knows where each of its values was written."""

    _document: Document = PrivateAttr(default_factory=lambda: Document(None))

    def __eq__(self, other: object) -> bool:
        """Equal settings make equal models, wherever they were written."""
        return type(other) is type(self) and self.__dict__ == other.__dict__

    def place(self, *paths: Path) -> str:
        """Return where the first of `paths` that is written at all stands, else what encloses the first, else ''."""
        written = (path for path in paths if path in self._document.places)
        return self._document.place(next(written, paths[0]))

    def resolved(self) -> dict[str, Any]:
        """Return plain values from which the equal model is read again: no `extends`, defaults written out."""
        return self.model_dump(mode="json", exclude_none=True)


class InputSpec(SpecModel):
    """The image that the network reads, (N, channels, height, width)."""

    channels: Annotated[int, Field(strict=True, ge=1, le=1_024)] = 3
    height: Pixels = 224
    width: Pixels = 224


class StemSpec(SpecModel):
    """Convolution, then norm and activation, then pooling."""

    channels: Channels | None = None
    """Output channels of the convolution; 2 x growth_rate where absent (the paper's BC networks)."""
    kernel: Kernel = 7
    stride: Annotated[int, Field(strict=True, ge=1, le=4)] = 2
    norm: Annotated[bool, Field(strict=True)] = True
    """Norm and activation after the convolution; the paper's CIFAR networks have none here."""
    pool: Literal["max", "avg", "none"] = "max"
    """3 x 3 pooling with stride 2 and padding 1 at the stem's end."""


class BlockSpec(SpecModel):
    """A dense block: layer i reads the block's input and the outputs of layers 1..i-1."""

    layers: Annotated[int, Field(strict=True, ge=1, le=4_096)]
    growth_rate: Growth | None = None
    """Channels that each layer adds (k); the spec's growth_rate where absent."""
    layer: Template | None = None
    bottleneck: Factor | None = None
    drop_rate: Rate | None = None


class TransitionSpec(SpecModel):
    """Norm, activation, 1 x 1 convolution to floor(compression x channels), 2 x 2 pooling."""

    compression: Compression | None = None
    """Share of the channels that the convolution keeps (theta); the spec's compression where absent."""
    pool: Literal["avg", "max", "none"] = "avg"


class NormSpec(SpecModel):
    """Batch normalisation. Defaults: torchvision's eps, and MindSpore's momentum (PyTorch's 0.1)."""

    kind: Literal["batch"] = "batch"
    eps: Annotated[float, Field(strict=True, gt=0, le=1, allow_inf_nan=False)] = 1e-5
    momentum: Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)] = 0.9
    """Share of the moving statistics that a step keeps: MindSpore's sense, 1 - PyTorch's."""


class HeadSpec(SpecModel):
    """Norm, activation, global average pooling, dropout, dense layer."""

    num_classes: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 1000
    dropout: Rate = 0.0


class Layers(SpecModel):
    """The settings of one block with the spec's defaults filled in."""

    layers: int
    growth_rate: int
    template: Template
    bottleneck: int
    drop_rate: float


class Spec(WrittenModel):
    """A densely connected network; `block_config: [6, 12]` is short for two `blocks` of 6 and 12 layers."""

    name: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")] = "network"
    description: Annotated[str, Field(strict=True, max_length=1_000)] = ""
    source: Annotated[str, Field(strict=True, max_length=1_000)] = ""
    """Where the network is described: a paper, a file."""
    input: InputSpec = InputSpec()
    stem: StemSpec = StemSpec()
    growth_rate: Growth
    """Channels that each layer adds (k), where its block does not say otherwise."""
    layer: Template = "bottleneck"
    """`bottleneck`: norm-act-conv1x1-norm-act-conv3x3; `basic`: norm-act-conv3x3."""
    bottleneck: Factor = 4
    """Width of a bottleneck's 1 x 1 convolution, in multiples of the growth rate."""
    blocks: Annotated[tuple[BlockSpec, ...], Field(min_length=1, max_length=64)]
    compression: Compression = 0.5
    transitions: tuple[TransitionSpec, ...] | None = None
    """One between each pair of blocks; where absent, all alike with the spec's compression."""
    norm: NormSpec = NormSpec()
    activation: Activation = "relu"
    drop_rate: Rate = 0.0
    """Dropout after the last convolution of every dense layer, as in torchvision."""
    head: HeadSpec = HeadSpec()

    @model_validator(mode="after")
    def _one_transition_between_blocks(self) -> Spec:
        if self.transitions is not None and len(self.transitions) != len(self.blocks) - 1:
            entries = "1 entry" if len(self.transitions) == 1 else f"{len(self.transitions)} entries"
            raise broken_rule(
                "transitions",
                f"transitions (={entries}) must be one fewer than blocks (={len(self.blocks)})",
            )
        return self

    @model_validator(mode="after")
    def _bounded_connections(self) -> Spec:
        connections = sum(block.layers * (block.layers + 1) // 2 for block in self.blocks)
        if connections > MAX_CONNECTIONS:
            raise broken_rule(
                "blocks", f"blocks have {connections:,} direct connections; at most {MAX_CONNECTIONS:,} fit"
            )
        return self

    @property
    def stem_channels(self) -> int:
        """Output channels of the stem."""
        return self.stem.channels or 2 * self.growth_rate

    def dense_blocks(self) -> Iterator[Layers]:
        """Yield each block's settings with the spec's defaults filled in."""
        for block in self.blocks:
            yield Layers(
                layers=block.layers,
                growth_rate=block.growth_rate or self.growth_rate,
                template=block.layer or self.layer,
                bottleneck=block.bottleneck or self.bottleneck,
                drop_rate=self.drop_rate if block.drop_rate is None else block.drop_rate,
            )

    def between_blocks(self) -> tuple[TransitionSpec, ...]:
        """Return the transitions with the spec's compression filled in."""
        listed = self.transitions or (TransitionSpec(),) * (len(self.blocks) - 1)
        return tuple(TransitionSpec(compression=t.compression or self.compression, pool=t.pool) for t in listed)


def compressed(channels: int, compression: float) -> int:
    """Return floor(compression x channels), exact in decimals: 0.29 x 100 is 29, not 28."""
    return math.floor(Fraction(str(compression)) * channels)


def broken_rule(field: str, message: str) -> PydanticCustomError:
    """Return an error that names the top-level field which breaks a rule between fields."""
    return PydanticCustomError("broken_rule", "{message}", {"message": message, "field": field})
