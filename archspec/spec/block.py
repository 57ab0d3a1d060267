"""A dense block as a spec writes it: its layers, and the aggregation at its end."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import Self

from archspec.settings import (
    Factor,
    Flag,
    Growth,
    Path,
    Rate,
    SpecModel,
    raise_broken_rules,
)
from archspec.spec.compression import WidthSpec
from archspec.spec.connectivity import Connectivity
from archspec.spec.faulty_steps import OF_A_LAYER, find_faulty_steps
from archspec.spec.steps import StepSpec
from archspec.spec.templates import LayerSteps, TransitionSteps, resolve_steps

Multiplier = Annotated[float, Field(strict=True, gt=0, le=16, allow_inf_nan=False)]
# The discriminator chooses by type: a fault then names the number or the list, not both.
PerLayer = Annotated[
    Annotated[Growth, Tag("number")]
    | Annotated[tuple[Growth, ...], Field(min_length=1), Tag("list")],
    Discriminator(lambda value: "list" if isinstance(value, (list, tuple)) else "number"),
]

LAYER = re.compile(r"[1-9][0-9]{0,3}")
"""A layer's number as a key of YAML, which is a word."""


def _read_layer_number(value: Any) -> int:
    is_word_or_number = isinstance(value, (int, str)) and not isinstance(value, bool)
    if not is_word_or_number or not LAYER.fullmatch(str(value)):
        raise PydanticCustomError("layer", "must be the number of a layer")
    return int(value)


LayerNumber = Annotated[int, BeforeValidator(_read_layer_number)]


class AggregateSpec(WidthSpec):
    """Steps behind the join at a block's end, which read all that it gathers; by default
    conv-norm-act, 1 x 1."""

    steps: TransitionSteps = "post_activation"
    """A template of transitions.yaml or a list of steps."""

    @model_validator(mode="after")
    def _check_widths(self) -> Self:
        raise_broken_rules(find_faulty_steps(self.steps, ("in", "out")))
        return self

    def steps_resolved(self) -> tuple[StepSpec, ...]:
        """Return the steps."""
        return resolve_steps("transitions", self.steps)


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
    layer_at: Annotated[Mapping[LayerNumber, LayerSteps], Field(min_length=1)] | None = None
    """By number, counted from 1: layers that consist of other steps than `layer` says,
    `{1: basic, 4: [...]}`."""
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
    def _check_layers(self) -> Self:
        faults = [*find_faulty_steps(self.layer, OF_A_LAYER, "layer"), *self._find_misfit_layers()]
        if isinstance(self.growth_rate, tuple) and len(self.growth_rate) != self.layers:
            listed = f"growth_rate (={len(self.growth_rate)} entries)"
            rule = f"{listed} must have one for each of the layers (={self.layers})"
            faults.append((("growth_rate",), rule))
        if self.connectivity is not None:
            for path, rule in self.connectivity.misfits(self.layers):
                faults.append((("connectivity", *path), rule))
        raise_broken_rules(faults)
        return self

    def _find_misfit_layers(self) -> Iterator[tuple[Path, str]]:
        """Layers of `layer_at` that the block does not have, and faulty widths of the others."""
        for number, steps in (self.layer_at or {}).items():
            if number > self.layers:
                rule = f"no such layer; the block has layers 1 to {self.layers}"
                yield ("layer_at", str(number)), f"layer_at[{number}]: {rule}"
            yield from find_faulty_steps(steps, OF_A_LAYER, "layer_at", str(number))
