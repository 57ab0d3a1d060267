"""What a squeeze-and-excitation comes to (Hu et al. 2018): a gate that reads the mean of each
channel, and a product with it. The builder makes it of this, and `lift` finds it by this.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from archspec.operators.attributes import Attrs
from archspec.operators.convolutions import ConvStep, conv_attrs
from archspec.spec.steps import ActivationSpec

JOIN = "multiply"
"""The kind of the product, which is called `se`."""


class Gate(NamedTuple):
    """What there is of each of its operators, in running order: a step, a name."""

    pool: Any
    reduce: Any
    activation: Any
    expand: Any
    gate: Any


def count_inner(channels: int, reduction: int) -> int:
    """Return how many channels there are inside a gate of so many."""
    return max(1, channels // reduction)


def list_gate_operators(channels: int, inner: int, activation: ActivationSpec, gate: str) -> Gate:
    """Return the kinds and attributes of a gate's operators, for so many channels and as many
    inside it.
    """
    return Gate(
        pool=("global_avg_pool", {"keep": True}),
        reduce=("conv", _point(channels, inner)),
        activation=(activation.kind, activation.attrs(inner)),
        expand=("conv", _point(inner, channels)),
        gate=(gate, {}),
    )


def name_gate_operators(activation: ActivationSpec) -> Gate:
    """Return what they are called."""
    names = Gate(*(f"se_{name}" for name in Gate._fields))
    return names._replace(activation=f"se_{activation.kind}")


def _point(ins: int, outs: int) -> Attrs:
    """A dense layer over the channels of each pixel."""
    step = ConvStep.model_construct(width=outs, kernel=1, bias=True)
    return conv_attrs(step, ins, {})
