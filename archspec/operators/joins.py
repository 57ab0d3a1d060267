"""Operators that read several values: concatenations, products and sums."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from typing import Any

from archspec.operators.attributes import Attrs
from archspec.operators.file_node import Feature, FileNode
from archspec.operators.mindspore_writing import MindSpore
from archspec.operators.onnx_writing import OnnxWriter, node_of
from archspec.operators.operator import Operator
from archspec.operators.shape_rules import Shape, ShapeFault, sizes


def _concat_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    size = inputs[0][1:]
    channels = 0
    # Where layers read all before them this loop sees every direct connection: keep it bare.
    for shape in inputs:
        if shape[1:] != size:
            raise _tell_sizes_apart(inputs)
        channels += shape[0]
    return (channels, *size)


def _tell_sizes_apart(inputs: Sequence[Shape]) -> ShapeFault:
    """Return the fault of a join, with the first input of each size, the last met first."""
    first_of_size: dict[Shape, int] = {}
    for position, shape in enumerate(inputs):
        first_of_size.setdefault(shape[1:], position)
    listed = ", ".join(map(sizes, reversed(first_of_size)))
    positions = [*reversed(first_of_size.values())]
    return ShapeFault(f"joins feature maps of different size: {listed}", positions)


def _add_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    for position, shape in enumerate(inputs):
        if shape != inputs[0]:
            message = f"adds {sizes(inputs[0])} and {sizes(shape)} (C x H x W)"
            raise ShapeFault(message, (0, position))
    return inputs[0]


def _multiply_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    """The second scales the first: equal, or one value for each channel."""
    first, second = inputs
    if second not in (first, (first[0], *(1 for _ in first[1:]))):
        raise ShapeFault(f"multiplies {sizes(first)} by {sizes(second)} (C x H x W)", (0, 1))
    return first


def _all_together(attrs: Attrs, inputs: Sequence[int]) -> int:
    return sum(inputs)


def _one_beside_the_other(attrs: Attrs, parts: Sequence[Any]) -> Any:
    return parts[0].beside(parts[1:])


def _all_of_a_place(attrs: Attrs, parts: Sequence[Any]) -> Any:
    """Of a sum, and of a product, which depends on each of its factors."""
    return parts[0].with_all_of(parts[1:])


def _onnx_concat(node: FileNode) -> Feature:
    parts = [node.any_feature(index) for index in range(len(node.inputs))]
    return _add_concat(node, parts, node.attrs.get("axis", 1))


def _mindir_concat(node: FileNode) -> Feature:
    """The parts stand in one tuple, with the axis behind; or they are all that there is."""
    parts, axis = node.inputs, 1
    if isinstance(parts[0], tuple):
        parts, axis = parts[0], node.option("axis", 1)
    if not all(map(node.is_feature, parts)):
        node.refuse("joins something else than features")
    return _add_concat(node, parts, axis)


def _add_concat(node: FileNode, parts: Sequence[Feature], axis: Any) -> Feature:
    """What is joined along the channels; of one part alone, it."""
    if not parts:
        node.refuse("joins nothing")
    first = parts[0]
    around = {(part.shape[0], *part.shape[2:], part.pending) for part in parts}
    if len(around) > 1 or not node.is_channel_axis(first, axis):
        of = f"axis {reprlib.repr(axis)}, or feature maps of different size"
        node.refuse(f"joins along {of}")
    if len(parts) == 1:
        return first
    shape = (first.shape[0], sum(part.shape[1] for part in parts), *first.shape[2:])
    return node.like(first, node.op("concat", parts, shape))


def _write_sum(node: OnnxWriter) -> str:
    """One after the other: a sum of many is one that few engines know."""
    total = node.inputs[0]
    for value in node.inputs[1:]:
        total = node.add("Add", total, value)
    return total


ROWS = (
    Operator(
        "concat",
        _concat_shape,
        MindSpore(call="ops.concat(({x}), 1)"),
        arity=None,
        verb="joins",
        about="the channels of all, one behind the other",
        channels=_all_together,
        reach=_one_beside_the_other,
        keeps_sign=True,
        keeps_logits=True,
        hint="what is joined must have one height and width: the same strides and pooling",
        mindir={"Concat": _mindir_concat},
        onnx={"Concat": _onnx_concat},
        write_onnx=node_of("Concat", axis=1),
    ),
    Operator(
        "add",
        _add_shape,
        MindSpore(sign=" + "),
        arity=None,
        commutes=True,
        verb="adds",
        about="their sum",
        write_onnx=_write_sum,
        carries=False,
        reach=_all_of_a_place,
        keeps_sign=True,
        keeps_logits=True,
        hint="what is added must have the same channels, height and width",
    ),
    Operator(
        "multiply",
        _multiply_shape,
        MindSpore(sign=" * "),
        arity=2,
        commutes=True,
        verb="multiplies",
        about="the second scales the first",
        is_product=True,
        write_onnx=node_of("Mul"),
        reach=_all_of_a_place,
        keeps_sign=True,
        keeps_logits=True,
        hint="the second branch must have the first's channels, and its height and width or 1 x 1",
    ),
)
