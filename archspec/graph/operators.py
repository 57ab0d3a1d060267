"""The one table of operators: what each kind does to shapes, how many parameters and MACs it has.

Shapes are (C, H, W) without the batch, or (C,) once the pixels are gone.
MACs are multiply-accumulates of convolutions and dense layers alone (torchvision's `_ops`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from archspec.graph.ir import Attrs

Shape = tuple[int, ...]


class ShapeFault(Exception):
    """Input shapes do not fit an operator; the message says which and why.

    `inputs` are the positions of the inputs that the message speaks of.
    """

    def __init__(self, message: str, inputs: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.inputs = tuple(inputs)


@dataclass(frozen=True, slots=True)
class Operator:
    """What is known of a kind of operator."""

    arity: int | None
    """Number of inputs; None: one or more."""
    shape: Callable[[Attrs, Sequence[Shape]], Shape]
    tensors: Callable[[Attrs], Mapping[str, Shape]] = lambda attrs: {}
    """Its parameters' shapes by role, as MindSpore calls them, moving statistics included."""
    macs: Callable[[Attrs, Sequence[Shape], Shape], int] = lambda attrs, inputs, output: 0
    carries: bool = False
    """A direct connection runs through it: it selects, orders or rescales features but makes no new ones."""

    def params(self, attrs: Attrs) -> int:
        """Return the number of learnable values."""
        return sum(
            prod(shape) for role, shape in self.tensors(attrs).items() if role not in STATISTICS
        )

    def stats(self, attrs: Attrs) -> int:
        """Return the number of moving statistics, which no gradient changes."""
        return sum(prod(shape) for role, shape in self.tensors(attrs).items() if role in STATISTICS)


STATISTICS = ("moving_mean", "moving_variance")


def _same(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    return inputs[0]


def _conv_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    _expect_channels(attrs["in_channels"], inputs[0])
    groups = attrs.get("groups", 1)
    _expect_outputs(attrs)
    if attrs["in_channels"] % groups or attrs["out_channels"] % groups:
        raise ShapeFault(
            f"groups (={groups}) must divide {attrs['in_channels']} and {attrs['out_channels']}"
        )
    return (attrs["out_channels"], *_window(attrs, inputs[0]))


def _window(attrs: Attrs, shape: Shape) -> tuple[int, int]:
    """Output pixels of a sliding window, rounded down unless `ceil` is set."""
    if len(shape) != 3:
        raise ShapeFault(f"needs a feature map (C, H, W), reads {shape}")
    reach = attrs.get("dilation", 1) * (attrs["kernel"] - 1) + 1
    part = attrs["stride"] - 1 if attrs.get("ceil") else 0
    height, width = (
        (size + 2 * attrs["padding"] - reach + part) // attrs["stride"] + 1 for size in shape[1:]
    )
    if part:  # a window that would start beyond the image and its left border is left out
        lasts = ((size + attrs["padding"] - 1) // attrs["stride"] + 1 for size in shape[1:])
        height, width = map(min, (height, width), lasts)
    if height < 1 or width < 1:
        raise ShapeFault(
            f"a {attrs['kernel']} x {attrs['kernel']} window leaves no pixel of {shape[1]} x {shape[2]}"
        )
    return height, width


def _pool_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    return (inputs[0][0], *_window(attrs, inputs[0]))


def _blur_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    """Edges are mirrored: there must be more pixels than are mirrored at each."""
    shape = _pool_shape(attrs, inputs)
    if min(inputs[0][1:]) <= attrs["padding"]:
        raise ShapeFault(
            f"mirrors {attrs['padding']} at each edge of {inputs[0][1]} x {inputs[0][2]} pixels; "
            "must be fewer than there are"
        )
    return shape


def _norm_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    _expect_channels(attrs["channels"], inputs[0])
    return inputs[0]


def _group_norm_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    if attrs["channels"] % attrs["groups"]:
        raise ShapeFault(
            f"groups (={attrs['groups']}) of the norm must divide {attrs['channels']} channels"
        )
    return _map_norm_shape(attrs, inputs)


def _map_norm_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    """Over pixels: a vector has none."""
    _map(inputs[0])
    return _norm_shape(attrs, inputs)


def _concat_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    first_of_size = {shape[1:]: position for position, shape in reversed(list(enumerate(inputs)))}
    if len(first_of_size) > 1:
        sizes = ", ".join(map(_pixels, first_of_size))
        raise ShapeFault(
            f"joins feature maps of different size: {sizes}", list(first_of_size.values())
        )
    return (sum(shape[0] for shape in inputs), *inputs[0][1:])


def _map(shape: Shape) -> Shape:
    if len(shape) != 3:
        raise ShapeFault(f"needs a feature map (C, H, W), reads {shape}")
    return shape


def _global_pool_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    channels = _map(inputs[0])[0]
    return (channels, 1, 1) if attrs.get("keep") else (channels,)


def _conv_transpose_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    _expect_channels(attrs["in_channels"], _map(inputs[0]))
    _expect_outputs(attrs)
    reach = attrs["kernel"] - 2 * attrs["padding"]
    height, width = ((size - 1) * attrs["stride"] + reach for size in inputs[0][1:])
    if height < 1 or width < 1:
        raise ShapeFault(f"padding (={attrs['padding']}) leaves no pixel")
    return (attrs["out_channels"], height, width)


def _upsample_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    channels, height, width = _map(inputs[0])
    return (channels, height * attrs["factor"], width * attrs["factor"])


def _crop_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    channels, *sizes = _map(inputs[0])
    if any(size < wanted for size, wanted in zip(sizes, attrs["size"], strict=True)):
        raise ShapeFault(
            f"cannot be cropped from {_pixels(tuple(sizes))} to {_pixels(attrs['size'])}"
        )
    return (channels, *attrs["size"])


def _slice_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    channels = inputs[0][0]
    if not 0 <= attrs["start"] < attrs["stop"] <= channels:
        raise ShapeFault(f"takes channels {attrs['start']} to {attrs['stop']} of {channels}")
    return (attrs["stop"] - attrs["start"], *inputs[0][1:])


def _shuffle_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    if _map(inputs[0])[0] % attrs["groups"]:
        raise ShapeFault(
            f"groups (={attrs['groups']}) of the shuffle must divide {inputs[0][0]} channels"
        )
    return inputs[0]


def _add_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    for position, shape in enumerate(inputs):
        if shape != inputs[0]:
            raise ShapeFault(
                f"adds {_pixels(inputs[0])} and {_pixels(shape)} (C x H x W)", (0, position)
            )
    return inputs[0]


def _multiply_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    """The second scales the first: equal, or one value for each channel."""
    first, second = inputs
    if second not in (first, (first[0], *(1 for _ in first[1:]))):
        raise ShapeFault(f"multiplies {_pixels(first)} by {_pixels(second)} (C x H x W)", (0, 1))
    return first


def _dense_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    if len(inputs[0]) != 1:
        raise ShapeFault(f"needs a vector (C,), reads {inputs[0]}")
    _expect_channels(attrs["in_channels"], inputs[0])
    _expect_outputs(attrs)
    return (attrs["out_channels"],)


def _expect_outputs(attrs: Attrs) -> None:
    if attrs["out_channels"] < 1:
        raise ShapeFault(f"has {attrs['out_channels']} output channels; at least 1 is needed")


def _expect_channels(declared: int, shape: Shape) -> None:
    if declared != shape[0]:
        raise ShapeFault(f"is made for {declared} channels, reads {shape[0]}")


def _pixels(size: Shape) -> str:
    return " x ".join(map(str, size))


def _conv_tensors(attrs: Attrs) -> Mapping[str, Shape]:
    kernel, outs = attrs["kernel"], attrs["out_channels"]
    weight = (outs, attrs["in_channels"] // attrs.get("groups", 1), kernel, kernel)
    return _with_bias(weight, outs, attrs.get("bias", False))


def _conv_transpose_tensors(attrs: Attrs) -> Mapping[str, Shape]:
    kernel, outs = attrs["kernel"], attrs["out_channels"]
    return _with_bias((attrs["in_channels"], outs, kernel, kernel), outs, attrs.get("bias", False))


def _dense_tensors(attrs: Attrs) -> Mapping[str, Shape]:
    outs = attrs["out_channels"]
    return _with_bias((outs, attrs["in_channels"]), outs, attrs.get("bias", True))


def _with_bias(weight: Shape, outs: int, bias: bool) -> Mapping[str, Shape]:
    return {"weight": weight, "bias": (outs,)} if bias else {"weight": weight}


def _batch_norm_tensors(attrs: Attrs) -> Mapping[str, Shape]:
    return dict.fromkeys(("moving_mean", "moving_variance", "gamma", "beta"), (attrs["channels"],))


def _affine_tensors(attrs: Attrs) -> Mapping[str, Shape]:
    return dict.fromkeys(("gamma", "beta"), (attrs["channels"],))


def _conv_macs(attrs: Attrs, inputs: Sequence[Shape], output: Shape) -> int:
    return prod(_conv_tensors(attrs)["weight"]) * prod(output[1:])


def _conv_transpose_macs(attrs: Attrs, inputs: Sequence[Shape], output: Shape) -> int:
    return prod(_conv_transpose_tensors(attrs)["weight"]) * prod(inputs[0][1:])


def _dense_macs(attrs: Attrs, inputs: Sequence[Shape], output: Shape) -> int:
    return int(attrs["in_channels"] * attrs["out_channels"])


OPERATORS: Mapping[str, Operator] = {
    "input": Operator(0, lambda attrs, inputs: tuple(attrs["shape"])),
    "conv": Operator(1, _conv_shape, _conv_tensors, _conv_macs),
    "conv_transpose": Operator(
        1, _conv_transpose_shape, _conv_transpose_tensors, _conv_transpose_macs
    ),
    "dense": Operator(1, _dense_shape, _dense_tensors, _dense_macs),
    "batch_norm": Operator(1, _map_norm_shape, _batch_norm_tensors, carries=True),
    "layer_norm": Operator(1, _norm_shape, _affine_tensors, carries=True),
    "group_norm": Operator(1, _group_norm_shape, _affine_tensors, carries=True),
    "relu": Operator(1, _same, carries=True),
    "relu6": Operator(1, _same, carries=True),
    "silu": Operator(1, _same, carries=True),
    "gelu": Operator(1, _same, carries=True),
    "hard_swish": Operator(1, _same, carries=True),
    "leaky_relu": Operator(1, _same, carries=True),
    "prelu": Operator(1, _norm_shape, lambda attrs: {"w": (attrs["channels"],)}, carries=True),
    "sigmoid": Operator(1, _same, carries=True),
    "hard_sigmoid": Operator(1, _same, carries=True),
    "dropout": Operator(1, _same, carries=True),
    "max_pool": Operator(1, _pool_shape, carries=True),
    "avg_pool": Operator(1, _pool_shape, carries=True),
    "blur_pool": Operator(1, _blur_shape, carries=True),
    "global_avg_pool": Operator(1, _global_pool_shape, carries=True),
    "upsample": Operator(1, _upsample_shape, carries=True),
    "crop": Operator(1, _crop_shape, carries=True),
    "slice": Operator(1, _slice_shape, carries=True),
    "shuffle": Operator(1, _shuffle_shape, carries=True),
    "concat": Operator(None, _concat_shape, carries=True),
    "multiply": Operator(2, _multiply_shape, carries=True),
    "add": Operator(None, _add_shape),
    "output": Operator(1, _same, carries=True),
}
