"""What becomes of an image on its way into a network, as nodes of its ONNX.

Images are resized as Pillow does it: across, to whole grey levels, then down, or down first. Each
way is a product with a matrix of the filter's weights, which the file computes of the image's size:
ONNX has a Resize with `antialias`, but engines compute that each in a way of their own, or leave it
out.

    numbers of output pixels i, of input pixels x, both counted along one side
    centre(i) = (2 (start + i) + 1) side / (2 whole)      whole: the side after resizing, uncut
    weight(i, x) = filter((x + 0.5 - centre(i)) / scale)  scale = max(1, side / whole)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from onnx import GraphProto, ModelProto, TensorProto, ValueInfoProto, helper

from archspec.writers.onnx.nodes import NodeWriter

IMAGES, PROBABILITIES = "images", "probabilities"
"""What such a file reads and gives."""
NAME = "preprocess"
WHITE = 255.0
ACROSS, DOWN = 1, 0
"""Sides of an image by their place in (height, width)."""


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
    across = node.add("Transpose", _write_weights(node, steps, sides, ACROSS), perm=[1, 0])
    down = _write_weights(node, steps, sides, DOWN)
    if steps.can_begin_down:
        pixels = _resize_in_either_order(node, steps, sides, (pixels, across, down))
    else:
        pixels = _resize_down(node, _resize_across(node, pixels, across), down)
    mean, std = (np.reshape(values, (-1, 1, 1)) for values in (steps.mean, steps.std))
    centred = node.add("Sub", pixels, node.constant(mean.astype(np.float32)))
    node.add("Div", centred, node.constant(std.astype(np.float32)))
    return node


def _resize_in_either_order(
    node: NodeWriter, steps: ImageSteps, sides: str, values: tuple[str, str, str]
) -> str:
    """Down first where more than 2 x as many pixels are lost down as across, and not none."""
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


def _resize_across(node: NodeWriter, pixels: str, weights: str) -> str:
    return _round(node, node.add("MatMul", pixels, weights))


def _resize_down(node: NodeWriter, pixels: str, weights: str) -> str:
    return _round(node, node.add("MatMul", weights, pixels))


def _round(node: NodeWriter, pixels: str) -> str:
    """Whole grey levels, as Pillow keeps them after each way."""
    whole = node.add("Floor", node.add("Add", pixels, node.constant(0.5)))
    return node.add("Clip", whole, node.constant(0.0), node.constant(WHITE))


def _write_weights(node: NodeWriter, steps: ImageSteps, sides: str, which: int) -> str:
    """How much each pixel along a side of the image counts for each of the output's,
    (output pixels, input pixels).
    """
    size = steps.image_size[which]
    side = node.add("Gather", sides, node.constant([which]), axis=0)
    whole, start = _place_output(node, steps, sides, side, size)
    numbers = node.constant(2 * np.arange(size)[:, None] + 1)
    doubled = node.add("Mul", node.add("Add", numbers, start), side)
    # Whole pixels apart from the rest of one: float32 would lose it far from the image's border.
    parts = node.add("Mul", whole, node.constant([2]))
    pixel = node.add("Div", doubled, parts)
    rest = _divide(node, node.add("Sub", doubled, node.add("Mul", pixel, parts)), parts)
    zero, one = node.constant(0), node.constant(1)
    places = node.add("Range", zero, node.add("Squeeze", side), one)
    offsets = node.add("Cast", node.add("Sub", places, pixel), to=TensorProto.FLOAT)
    from_centre = node.add("Add", offsets, node.add("Sub", node.constant(0.5), rest))
    scale = node.add("Max", _divide(node, side, whole), node.constant([1.0]))
    distance = node.add("Div", node.add("Abs", from_centre), scale)
    weights = FILTERS[steps.interpolation](node, distance)
    total = node.add("ReduceSum", weights, node.constant([1]), keepdims=1)
    return node.add("Div", weights, total)


def _place_output(
    node: NodeWriter, steps: ImageSteps, sides: str, side: str, size: int
) -> tuple[str, str]:
    """How long the resized side is before it is cut, and twice the pixel at which the cut begins;
    torchvision's rounding of both.
    """
    if steps.crop_pct is None:
        return node.constant([size]), node.constant([0])
    shorter = node.constant([int(max(steps.image_size) / steps.crop_pct)])
    whole = node.add("Mul", shorter, side)
    whole = node.add("Div", whole, node.add("ReduceMin", sides, keepdims=1))
    left_over = node.add("Sub", whole, node.constant([size]))
    half = node.add("Mul", node.add("Cast", left_over, to=TensorProto.FLOAT), node.constant(0.5))
    start = node.add("Cast", node.add("Round", half), to=TensorProto.INT64)
    return whole, node.add("Mul", start, node.constant([2]))


def _divide(node: NodeWriter, above: str, below: str) -> str:
    """A quotient of whole numbers, as float32."""
    parts = [node.add("Cast", value, to=TensorProto.FLOAT) for value in (above, below)]
    return node.add("Div", *parts)


def _write_triangle(node: NodeWriter, distance: str) -> str:
    return node.add("Relu", node.add("Sub", node.constant(1.0), distance))


def _write_cubic(node: NodeWriter, distance: str) -> str:
    """Keys's with a = -0.5: one polynomial up to 1, which is 0 there, and one from 1 to 2."""
    one, two = node.constant(1.0), node.constant(2.0)
    near = _write_polynomial(node, node.add("Min", distance, one), (1.5, -2.5, 0.0, 1.0))
    far = _write_polynomial(node, node.add("Clip", distance, one, two), (-0.5, 2.5, -4.0, 2.0))
    return node.add("Add", near, far)


def _write_polynomial(node: NodeWriter, value: str, factors: tuple[float, ...]) -> str:
    """A polynomial by Horner's rule, the factor of the highest power first."""
    made = node.constant(factors[0])
    for factor in factors[1:]:
        made = node.add("Add", node.add("Mul", made, value), node.constant(factor))
    return made


FILTERS: Mapping[str, Callable[[NodeWriter, str], str]] = {
    "bilinear": _write_triangle,
    "bicubic": _write_cubic,
}
"""What writes a filter's weight at a distance from its centre, by the recipe's word for it."""
