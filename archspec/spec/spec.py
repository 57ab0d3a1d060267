"""The spec of a densely connected network: frozen, explicit, unknown keys refused.

Defaults are DenseNet-BC's for ImageNet (Huang et al. 2017, table 1, as torchvision and MindCV build
it). What stands here changes the function;
initialisation, optimisation and data stand in the recipe.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationInfo, model_validator
from pydantic_core import PydanticKnownError
from typing_extensions import Self

from archspec.settings import Factor, Growth, Path, Rate, Share, SpecModel, raise_broken_rules
from archspec.spec.block import AggregateSpec, BlockSpec, Multiplier
from archspec.spec.connectivity import Connectivity, ConnectivitySpec
from archspec.spec.faulty_steps import OF_A_LAYER, find_faulty_steps
from archspec.spec.head import Head, HeadSpec
from archspec.spec.input import InputSpec
from archspec.spec.stem import Stem, StemSpec
from archspec.spec.steps import (
    Activation,
    ActivationSpec,
    Norm,
    NormSpec,
    StepSpec,
    find_named_widths,
)
from archspec.spec.templates import LayerSteps, resolve_steps
from archspec.spec.transition import Transition, TransitionSpec
from archspec.spec.written_model import WrittenModel

Value = TypeVar("Value")

MAX_CONNECTIONS = 4_000_000
"""Direct connections in all blocks together; two blocks of 2,000 layers."""


class PublishedSpec(SpecModel):
    """A published accuracy, in percent, of a network trained by whoever published it."""

    data: Annotated[str, Field(strict=True, max_length=64)]
    """The data set, `ImageNet`."""
    top1: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
    """Percent of the images whose likeliest class is right."""
    top5: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = None
    """Percent of the images of which one of the five likeliest classes is right."""
    source: Annotated[str, Field(strict=True, max_length=200)]
    """Who published it, and where."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block with all that its spec leaves to the defaults filled in."""

    widths: tuple[int, ...]
    """Channels that each layer adds."""
    growth_rate: int
    """The first of them."""
    bottleneck: int
    steps: tuple[StepSpec, ...]
    steps_at: Mapping[int, tuple[StepSpec, ...]]
    """By number: of the layers that consist of others."""
    drop_rate: float
    connectivity: ConnectivitySpec
    aggregate: AggregateSpec | None
    residual: bool

    def steps_of_layer(self, number: int) -> tuple[StepSpec, ...]:
        """Return what a layer consists of; layers are counted from 1."""
        return self.steps_at.get(number, self.steps)


def _require_somewhere(growth_rate: int | None, info: ValidationInfo) -> int | None:
    """A growth rate for all may be left out only where each block has its own."""
    if growth_rate is not None:
        return growth_rate
    blocks = info.data.get("blocks")  # fields are validated in their order; None where faulty
    if blocks is None or any(block.growth_rate is None for block in blocks):
        raise PydanticKnownError("missing")
    return None


class Spec(WrittenModel):
    """A densely connected network;
    `block_config: [6, 12]` is short for two `blocks` of 6 and 12 layers.
    """

    name: Annotated[str, Field(strict=True, pattern=r"^[A-Za-z][A-Za-z0-9_.-]{0,63}$")] = "network"
    """The network's name; the file's where absent."""
    description: Annotated[str, Field(strict=True, max_length=1_000)] = ""
    """What the network is, in words."""
    source: Annotated[str, Field(strict=True, max_length=1_000)] = ""
    """Where the network is described: a paper, a file."""
    published: tuple[PublishedSpec, ...] = ()
    """What accuracy was published of it, and by whom."""
    input: InputSpec = InputSpec()
    stem: Stem = StemSpec()
    growth_multiplier: Multiplier | None = None
    """Of layer i's growth, once for each time that 2 divides i,
    rounded to an even number (HarDNet's m)."""
    layer: LayerSteps = "bottleneck"
    """What each layer consists of: `bottleneck` is norm-act-conv1x1-norm-act-conv3x3,
    `basic` norm-act-conv3x3."""
    bottleneck: Factor = 4
    """Width of a bottleneck's 1 x 1 convolution, in multiples of the growth rate."""
    connectivity: Connectivity = ConnectivitySpec()
    """Which sources each layer reads, where its block does not say otherwise."""
    blocks: Annotated[tuple[BlockSpec, ...], Field(min_length=1, max_length=64)]
    """The dense blocks, first to last."""
    growth_rate: Annotated[
        Growth | None, AfterValidator(_require_somewhere), Field(validate_default=True)
    ] = None
    """Channels that each layer adds (k), where its block does not say otherwise."""
    compression: Share = 0.5
    """Share of the channels that each transition keeps (theta), rounded down."""
    transition: Transition = TransitionSpec()
    """What each transition does that `transitions` does not say."""
    transitions: tuple[Transition, ...] | None = None
    """One between each pair of blocks, and one more behind the last block if that has one too."""
    norm: Norm = NormSpec()
    activation: Activation = ActivationSpec()
    drop_rate: Rate = 0.0
    """Rate of the layers' dropout."""
    drop_after: Literal["layer", "conv"] = "layer"
    """Where it stands: at the end of every dense layer, as in torchvision and timm, or behind every
    convolution of layers and transitions, as in the paper's code."""
    head: Head = HeadSpec()
    features: tuple[Annotated[int, Field(strict=True, ge=1, le=64)], ...] = ()
    """Numbers of blocks whose outputs the network gives as well, before the head's; without a head
    the last block must be one of them."""

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        raise_broken_rules(
            [*self._find_misplaced(), *self._find_unknown_widths(), *self._find_misfits()]
        )
        return self

    def _find_misplaced(self) -> Iterator[tuple[Path, str]]:
        """Transitions that do not fit between the blocks, and features that are no blocks."""
        blocks, count = len(self.blocks), len(self.transitions or ())
        if self.transitions is not None and count not in (blocks - 1, blocks):
            entries = "1 entry" if count == 1 else f"{count} entries"
            rule = f"must be one fewer than blocks (={blocks}), or as many"
            yield ("transitions",), f"transitions (={entries}) {rule}"
        for index, transition in enumerate(self.transitions or ()):
            if isinstance(transition.skip, int) and transition.skip > index:
                rule = f"skip (={transition.skip}) must be a block before block {index + 1}"
                yield ("transitions", index, "skip"), rule
        if self.transition.skip is not None:
            rule = "a skip belongs to one of `transitions`: for all it would be the same"
            yield ("transition", "skip"), rule
        for index, number in enumerate(self.features):
            if number > blocks or number in self.features[:index]:
                rule = f"features (={number}) must name blocks 1 to {blocks}, each once"
                yield ("features", index), rule

    def _find_unknown_widths(self) -> Iterator[tuple[Path, str]]:
        """Widths of what nobody says."""
        yield from find_faulty_steps(self.layer, OF_A_LAYER, "layer")
        if self.growth_rate is not None:
            return
        widths = {name for step in self.stem.steps_resolved() for name in find_named_widths(step)}
        if "out" in widths and self.stem.channels is None:
            rule = "stem.channels must be said where there is no growth_rate for all blocks"
            yield ("stem",), rule
        if "k" in widths:
            known = ("in", "out") if self.stem.channels else ("in",)
            for path, rule in find_faulty_steps(self.stem.steps, known):
                yield ("stem", *path), rule

    def _find_misfits(self) -> Iterator[tuple[Path, str]]:
        """A connectivity for all blocks that does not fit one of them,
        and blocks that are too large.
        """
        without_own = [block.layers for block in self.blocks if block.connectivity is None]
        for layers in dict.fromkeys(without_own):  # blocks of one size have one fault
            for path, rule in self.connectivity.misfits(layers):
                yield ("connectivity", *path), rule
        connections = sum(block.layers * (block.layers + 1) // 2 for block in self.blocks)
        if connections > MAX_CONNECTIONS:
            limit = f"at most {MAX_CONNECTIONS:,} fit"
            yield ("blocks",), f"blocks have {connections:,} direct connections; {limit}"

    def dense_blocks(self) -> Iterator[Block]:
        """Yield each block with the spec's defaults filled in."""
        for block in self.blocks:
            widths = _or_usual(block.growth_rate, self.growth_rate)
            if not isinstance(widths, tuple):
                multiplier = _or_usual(block.growth_multiplier, self.growth_multiplier or 1.0)
                widths = layer_widths(widths, multiplier, block.layers)
            yield Block(
                widths=widths,
                growth_rate=widths[0],
                bottleneck=_or_usual(block.bottleneck, self.bottleneck),
                steps=resolve_steps("layers", _or_usual(block.layer, self.layer)),
                steps_at={
                    number: resolve_steps("layers", given)
                    for number, given in (block.layer_at or {}).items()
                },
                drop_rate=_or_usual(block.drop_rate, self.drop_rate),
                connectivity=_or_usual(block.connectivity, self.connectivity),
                aggregate=block.aggregate,
                residual=block.residual,
            )

    def transitions_in_order(self) -> tuple[TransitionSpec, ...]:
        """Return the transitions, the first behind the first block, with the defaults filled in."""
        listed = self.transitions
        if listed is None:
            listed = (TransitionSpec(),) * (len(self.blocks) - 1)
        usual = {"compression": self.compression, **_collect_settings(self.transition)}
        return tuple(
            TransitionSpec.model_construct(**_complete_settings(usual, given)) for given in listed
        )


def _collect_settings(transition: TransitionSpec) -> dict[str, Any]:
    values = {key: getattr(transition, key) for key in transition.model_fields_set}
    return {key: value for key, value in values.items() if value is not None}


def _complete_settings(usual: dict[str, Any], given: TransitionSpec) -> dict[str, Any]:
    """Channels replace a compression, and steps that say it all the usual pooling."""
    said = _collect_settings(given)
    left_out = set[str]()
    if "channels" in said:
        left_out.add("compression")
    elif "compression" in said:
        left_out.add("channels")
    if given.says_it_all:
        left_out.add("pool")
    kept = {key: value for key, value in usual.items() if key not in left_out}
    return {**kept, **said}


def _or_usual(value: Value | None, usual: Value | None) -> Any:
    return usual if value is None else value


def layer_widths(growth_rate: int, multiplier: float, layers: int) -> tuple[int, ...]:
    """Return the channels that each of a block's layers adds.

    With a multiplier m, layer i adds k m^v, v being how often 2 divides i, rounded half up to an
    even number (Chao et al. 2019, as PingoLH/Pytorch-HarDNet computes it).
    """
    if multiplier == 1:
        return (growth_rate,) * layers
    widths = []
    for layer in range(1, layers + 1):
        width = float(growth_rate)
        while layer % 2 == 0:
            width, layer = width * multiplier, layer // 2
        widths.append(int(int(width + 1) / 2) * 2)
    return tuple(widths)
