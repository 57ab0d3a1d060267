"""How model files have activations: which node is one, with which settings; how one is written."""

from __future__ import annotations

from math import inf, sqrt

from archspec.operators.file_node import Feature, FileNode, Read
from archspec.operators.onnx_writing import OnnxWriter, WriteOnnx, of_each_channel

UNBOUNDED = 1e30
"""Bounds of a model file beyond this are none."""


def read_plain(kind: str) -> Read:
    """Return what reads a node that is this activation, whatever its inputs and attributes."""
    return lambda node: node.elementwise(kind)


def _bounds(node: FileNode) -> tuple[float, float]:
    """Of what cuts off values below and above two numbers; those that are not given are none."""
    return _bound(node, "min", 1, -inf), _bound(node, "max", 2, inf)


def _bound(node: FileNode, name: str, index: int, none: float) -> float:
    given = node.option(name, index, none)
    if isinstance(given, tuple):
        (given,) = given
    return none if given is None else given


def read_between(kind: str, low: float, high: float) -> Read:
    """Return what reads a node that cuts off values, where it does so at these bounds."""

    def read(node: FileNode) -> Feature | None:
        least, most = _bounds(node)
        is_this = least == low and (most == high or min(most, high) > UNBOUNDED)
        return node.elementwise(kind) if is_this else None

    return read


def read_hard_tanh(node: FileNode) -> Feature:
    """Return what cuts off values below and above any two numbers."""
    low, high = map(node.decimal, _bounds(node))
    if not -UNBOUNDED < low < high < UNBOUNDED:
        rule = "both must be numbers, the second larger, or [0, inf)"
        node.refuse(f"clips to [{low}, {high}]; {rule}")
    return node.elementwise("hard_tanh", low=low, high=high)


def read_larger_than_zero(node: FileNode) -> Feature | None:
    """Return a ReLU where a node is max(x, 0), in either order."""
    for index, other in ((0, 1), (1, 0)):
        if len(node.inputs) == 2 and node.single_number(other) == 0:
            return node.elementwise("relu", index)
    return None


def read_leaky_relu(node: FileNode) -> Feature:
    """Return a leaky ReLU, whose slope may be said."""
    return node.elementwise("leaky_relu", slope=node.number("alpha", 0.01))


def read_larger_than_a_share(node: FileNode) -> Feature | None:
    """Return a leaky ReLU where a node is max(x, slope x), with a slope up to 1; 1 x is x."""
    numbers = map(node.single_number, range(len(node.inputs)))
    if any(number is not None for number in numbers):
        return None
    first, second = node.feature(0), node.feature(1)
    if first.op == second.op:
        return node.in_place("leaky_relu", first, slope=1.0)
    for share, x in ((first, second), (second, first)):
        maker = node.maker(share)
        if maker.kind == "times" and maker.inputs == (x.op,) and 0 <= maker.attrs["value"] <= 1:
            return node.in_place("leaky_relu", x, slope=maker.attrs["value"])
    return None


def read_prelu(node: FileNode) -> Feature:
    """Return a PReLU; the slope that it starts from is not in a file."""
    x = node.any_feature()
    slope = node.channel_weight(1, x)
    if slope is None:
        node.refuse("has not one slope for each channel")
    return node.in_place("prelu", x, [slope], channels=x.shape[1], slope=None)


def read_elu(index: int | None = None) -> Read:
    """Return what reads an ELU, whose alpha may be said, by an input where one is named."""
    return lambda node: node.elementwise("elu", alpha=node.number("alpha", 1.0, index))


def read_softplus(node: FileNode) -> Feature:
    """Return a softplus; its beta is never said."""
    return node.elementwise("softplus", beta=1.0)


def read_hard_sigmoid(node: FileNode) -> Feature:
    """Return relu6(x + 3) / 6, the one that is known."""
    slope, start = node.number("alpha", 0.2), node.number("beta", 0.5)
    if abs(slope - 1 / 6) > 1e-4 or start != 0.5:
        known = "only 1/6 and 1/2 are known"
        node.refuse(f"has the slope {slope} and the value {start} at 0; {known}")
    return node.elementwise("hard_sigmoid")


def read_gelu(node: FileNode) -> Feature:
    """Return a GELU, whose approximation may be said."""
    how = node.text("approximate", "none")
    return node.elementwise("gelu", **({} if how == "none" else {"approximate": how}))


def read_quick_gelu(node: FileNode) -> Feature:
    """Return x times sigmoid(x), a SiLU; with another factor inside it is none."""
    factor = node.number("alpha", 1.702)
    if factor != 1:
        node.refuse(f"has the factor {factor}; only 1 is known, a SiLU")
    return node.elementwise("silu")


def write_clip(low: float, high: float) -> WriteOnnx:
    """Return what writes a cut at two fixed bounds."""
    return lambda node: _clip(node, low, high)


def write_hard_tanh(node: OnnxWriter) -> str:
    """Write a cut at the operator's own bounds."""
    return _clip(node, node.attrs["low"], node.attrs["high"])


def _clip(node: OnnxWriter, low: float, high: float) -> str:
    return node.add("Clip", node.inputs[0], node.constant(low), node.constant(high))


def write_silu(node: OnnxWriter) -> str:
    """Write x times sigmoid(x)."""
    return node.add("Mul", node.inputs[0], node.add("Sigmoid", node.inputs[0]))


def write_gelu(node: OnnxWriter) -> str:
    """Write x (1 + erf(x / sqrt 2)) / 2, as PyTorch does: ONNX's own node is newer than most
    engines.
    """
    x = node.inputs[0]
    share = node.add("Erf", node.add("Div", x, node.constant(sqrt(2))))
    whole = node.add("Mul", x, node.add("Add", share, node.constant(1.0)))
    return node.add("Mul", whole, node.constant(0.5))


def write_leaky_relu(node: OnnxWriter) -> str:
    """Write one node with its slope."""
    return node.add("LeakyRelu", node.inputs[0], alpha=node.attrs["slope"])


def write_prelu(node: OnnxWriter) -> str:
    """Write one node with a slope for each channel."""
    return node.add("PRelu", node.inputs[0], of_each_channel(node, "w"))


def write_elu(node: OnnxWriter) -> str:
    """Write one node with its alpha."""
    return node.add("Elu", node.inputs[0], alpha=node.attrs["alpha"])


def write_softplus(node: OnnxWriter) -> str:
    """Write log(1 + exp(beta x)) / beta; ONNX knows a beta of 1."""
    x, beta = node.inputs[0], node.attrs["beta"]
    if beta == 1:
        return node.add("Softplus", x)
    bent = node.add("Softplus", node.add("Mul", x, node.constant(beta)))
    return node.add("Div", bent, node.constant(beta))
