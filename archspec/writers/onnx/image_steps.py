"""What becomes of an image on its way into a network, as nodes of its ONNX.

Images are resized as Pillow does it, to each grey level: across, to whole levels, then down, or
down first. Each way is a product with a matrix of the filter's weights, which the file computes of
the image's size. ONNX has a Resize with `antialias`, but engines compute that each in a way of its
own, or leave it out.

For pixel i of the output's, and pixel x of the image's, both counted along one side of it

    centre(i) = begin + (i + 0.5) (end - begin) / size       begin, end: of the part that is kept
    weight(i, x) = filter((x + 0.5 - centre(i)) / scale)     scale = max(1, (end - begin) / size)

and weights, which add up to 1 for each i, are whole numbers of 1 / 2 ** 22. A float32 does not hold
sums of those, but of the upper and of the lower half of their bits it does; of more than 32 pixels
the latter may lose a last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto, helper

from archspec.writers.onnx.onnx_nodes import NodeWriter

IMAGES, PROBABILITIES = "images", "probabilities"
"""What such a file reads and gives."""
NAME = "preprocess"
OLDEST = 15
"""The first opset whose Shape gives some of the sizes alone."""
WHITE = 255
BITS, LOWER_BITS = 22, 11
"""Of a weight; of its lower half."""
ACROSS, DOWN = 1, 0
"""Sides of an image by their place in (height, width)."""

Halves = tuple[str, str]
"""Weights of one way: their upper bits, and their lower ones."""


@dataclass(frozen=True, slots=True)
class ImageSteps:
    """What becomes of uint8 images, and of the logits."""

    image_size: tuple[int, int]
    """The network's (height, width)."""
    mean: tuple[float, ...]
    """Of each channel, in grey levels."""
    std: tuple[float, ...]
    crop_pct: float | None
    """The shorter side is resized to size / `crop_pct`, and the centre cut; None: resized to it."""
    interpolation: str
    """One of `FILTERS`."""
    can_begin_down: bool
    """Images that shrink more down than across are first resized down, as Pillow 13 does it."""
    are_independent: bool
    """Each class has a probability of its own: a sigmoid instead of a softmax."""


def put_in_front(model: ModelProto, steps: ImageSteps) -> None:
    """Change a classifier that reads (N, C, H, W), float32, to one that reads images (N, H, W, C),
    uint8, of any one size, and gives probabilities (N, classes).
    """
    body = model.graph
    (reads,), (gives,) = body.input, body.output
    first = reads.type.tensor_type.shape.dim[0]
    batch = first.dim_value or first.dim_param
    node = _write_steps(steps)
    node.nodes[-1].output[0] = reads.name
    kind = "Sigmoid" if steps.are_independent else "Softmax"  # the latter over the last dimension
    last = helper.make_node(kind, [gives.name], [PROBABILITIES], name=PROBABILITIES)
    sizes = [batch, gives.type.tensor_type.shape.dim[1].dim_value]
    probabilities = helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, sizes)
    nodes = [*node.nodes, *body.node, last]
    del body.node[:], body.input[:], body.output[:]
    body.node.extend(nodes)
    body.initializer.extend(node.initializers.values())
    body.input.append(_describe_images(steps, batch))
    body.output.append(probabilities)


def make_preprocess_model(steps: ImageSteps, opset: int) -> ModelProto:
    """Return what stands in front alone: it gives what the network reads, (N, C, H, W)."""
    node = _write_steps(steps)
    sizes: list[int | str | None] = ["batch", len(steps.mean), *steps.image_size]
    gives = helper.make_tensor_value_info(node.nodes[-1].output[0], TensorProto.FLOAT, sizes)
    reads = _describe_images(steps, "batch")
    body = helper.make_graph(node.nodes, NAME, [reads], [gives], [*node.initializers.values()])
    operators = [helper.make_opsetid("", opset)]
    version = helper.find_min_ir_version_for(operators)
    return helper.make_model(body, opset_imports=operators, ir_version=version)


def _describe_images(steps: ImageSteps, batch: int | str) -> ValueInfoProto:
    sizes = [batch, "height", "width", len(steps.mean)]
    return helper.make_tensor_value_info(IMAGES, TensorProto.UINT8, sizes)


def _write_steps(steps: ImageSteps) -> NodeWriter:
    """All nodes, of which the last gives what the network reads."""
    node = NodeWriter(NAME, [], {})
    sides = node.add("Shape", IMAGES, start=1, end=3)
    pixels = node.add("Transpose", IMAGES, perm=[0, 3, 1, 2])
    pixels = node.add("Cast", pixels, to=TensorProto.FLOAT)
    weights = _write_weights(node, steps, sides, ACROSS)
    across = _halve(node, node.add("Transpose", weights, perm=[1, 0]))
    down = _halve(node, _write_weights(node, steps, sides, DOWN))
    if steps.can_begin_down:
        pixels = _resize_in_either_order(node, steps, sides, (pixels, across, down))
    else:
        pixels = _resize_down(node, _resize_across(node, pixels, across), down)
    mean, std = (np.reshape(values, (-1, 1, 1)) for values in (steps.mean, steps.std))
    centred = node.add("Sub", pixels, node.constant(mean.astype(np.float32)))
    node.add("Div", centred, node.constant(std.astype(np.float32)))
    return node


def _resize_in_either_order(
    node: NodeWriter, steps: ImageSteps, sides: str, values: tuple[str, Halves, Halves]
) -> str:
    """Down first where an image loses pixels down, and more than twice those that it loses across:
    by this rule Pillow 13 was found to choose.
    """
    pixels, across, down = values
    lost = node.add("Sub", sides, node.constant(steps.image_size))
    lost_down = node.add("Gather", lost, node.constant(DOWN))
    lost_across = node.add("Mul", node.add("Gather", lost, node.constant(ACROSS)), node.constant(2))
    most = node.add("Max", lost_across, node.constant(0))
    begins_down = node.add("Greater", lost_down, most)
    first = NodeWriter(f"{NAME}/down_first", [], node.initializers)
    _resize_across(first, _resize_down(first, pixels, down), across)
    second = NodeWriter(f"{NAME}/across_first", [], node.initializers)
    _resize_down(second, _resize_across(second, pixels, across), down)
    branches = {"then_branch": _as_branch(first), "else_branch": _as_branch(second)}
    return node.add("If", begins_down, **branches)


def _as_branch(node: NodeWriter) -> GraphProto:
    """All nodes as one way to go on, which gives what the last of them does."""
    name = node.nodes[-1].output[0]
    gives = helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4)
    return helper.make_graph(node.nodes, node.name, [], [gives])


def _resize_across(node: NodeWriter, pixels: str, halves: Halves) -> str:
    return _round(node, *(node.add("MatMul", pixels, weights) for weights in halves))


def _resize_down(node: NodeWriter, pixels: str, halves: Halves) -> str:
    return _round(node, *(node.add("MatMul", weights, pixels) for weights in halves))


def _round(node: NodeWriter, upper: str, lower: str) -> str:
    """Whole grey levels, of sums with both halves of the weights."""
    upper, lower = (node.add("Cast", half, to=TensorProto.INT32) for half in (upper, lower))
    upper = node.add("Mul", upper, node.constant(2**LOWER_BITS, np.int32))
    half_a_level = node.constant(2 ** (BITS - 1), np.int32)
    total = node.add("Add", node.add("Add", upper, lower), half_a_level)
    # What is below 0 is rounded up, not down, and then 0 in either way.
    levels = node.add("Div", total, node.constant(2**BITS, np.int32))
    levels = node.add("Clip", levels, node.constant(0, np.int32), node.constant(WHITE, np.int32))
    return node.add("Cast", levels, to=TensorProto.FLOAT)


def _halve(node: NodeWriter, weights: str) -> Halves:
    """The upper and the lower bits of whole numbers."""
    parts = node.constant(2**LOWER_BITS)
    upper = node.add("Div", weights, parts)
    lower = node.add("Sub", weights, node.add("Mul", upper, parts))
    return (
        node.add("Cast", upper, to=TensorProto.FLOAT),
        node.add("Cast", lower, to=TensorProto.FLOAT),
    )


def _write_weights(node: NodeWriter, steps: ImageSteps, sides: str, which: int) -> str:
    """How much each pixel along a side of the image counts for each of the output's, (output
    pixels, input pixels), in whole numbers.
    """
    size = steps.image_size[which]
    side = node.add("Gather", sides, node.constant([which]), axis=0)
    begin, length = _place_output(node, steps, sides, side, size)
    step = node.add("Div", length, _double(node, size))
    numbers = _double(node, np.arange(size)[:, None] + 0.5)
    centres = node.add("Add", begin, node.add("Mul", numbers, step))
    end = node.add("Squeeze", side)
    places = node.add("Range", node.constant(0), end, node.constant(1))
    places = node.add("Add", node.add("Cast", places, to=TensorProto.DOUBLE), _double(node, 0.5))
    scale = node.add("Max", step, _double(node, 1))
    distance = node.add("Div", node.add("Abs", node.add("Sub", places, centres)), scale)
    weights = FILTERS[steps.interpolation](node, distance)
    total = node.add("ReduceSum", weights, node.constant([1]), keepdims=1)
    parts = node.add("Mul", node.add("Div", weights, total), _double(node, 2**BITS))
    away = node.add("Mul", node.add("Sign", parts), _double(node, 0.5))
    return node.add("Cast", node.add("Add", parts, away), to=TensorProto.INT64)


def _place_output(
    node: NodeWriter, steps: ImageSteps, sides: str, side: str, size: int
) -> tuple[str, str]:
    """Where along a side the part begins that is kept, and its length: as `fit_image` has it, with
    torchvision's rounding, and float32 where Pillow has that.
    """
    exact = node.add("Cast", side, to=TensorProto.DOUBLE)
    if steps.crop_pct is None:
        return _double(node, [0]), exact
    shorter = node.constant([int(max(steps.image_size) / steps.crop_pct)])
    whole = node.add("Mul", shorter, side)
    whole = node.add("Div", whole, node.add("ReduceMin", sides, keepdims=1))
    whole = node.add("Cast", whole, to=TensorProto.DOUBLE)
    left_over = node.add("Sub", whole, _double(node, size))
    start = node.add("Round", node.add("Mul", left_over, _double(node, 0.5)))
    step = node.add("Div", exact, whole)
    begin = node.add("Mul", start, step)
    end = node.add("Add", begin, node.add("Mul", _double(node, size), step))
    begin = node.add("Cast", begin, to=TensorProto.FLOAT)
    end = node.add("Cast", node.add("Min", end, exact), to=TensorProto.FLOAT)
    length = node.add("Cast", node.add("Sub", end, begin), to=TensorProto.DOUBLE)
    return node.add("Cast", begin, to=TensorProto.DOUBLE), length


def _double(node: NodeWriter, values: Any) -> str:
    return node.constant(values, np.float64)


def _write_triangle(node: NodeWriter, distance: str) -> str:
    near = node.add("Sub", _double(node, 1), distance)
    return node.add("Max", near, _double(node, 0))


def _write_cubic(node: NodeWriter, distance: str) -> str:
    """Keys's with a = -0.5: one polynomial up to 1, which is 0 there, and one from 1 to 2."""
    one, two = _double(node, 1), _double(node, 2)
    near = _write_polynomial(node, node.add("Min", distance, one), (1.5, -2.5, 0.0, 1.0))
    within = node.add("Min", node.add("Max", distance, one), two)
    far = _write_polynomial(node, within, (-0.5, 2.5, -4.0, 2.0))
    return node.add("Add", near, far)


def _write_polynomial(node: NodeWriter, value: str, factors: tuple[float, ...]) -> str:
    """A polynomial by Horner's rule, the factor of the highest power first."""
    made = _double(node, factors[0])
    for factor in factors[1:]:
        made = node.add("Add", node.add("Mul", made, value), _double(node, factor))
    return made


FILTERS: Mapping[str, Callable[[NodeWriter, str], str]] = {
    "bilinear": _write_triangle,
    "bicubic": _write_cubic,
}
"""What writes a filter's weight at a distance from its centre, by the recipe's word for it."""
