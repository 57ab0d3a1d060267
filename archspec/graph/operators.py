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
    params: Callable[[Attrs], int] = lambda attrs: 0
    """Learnable values."""
    stats: Callable[[Attrs], int] = lambda attrs: 0
    """Moving statistics, not learnt by gradient."""
    macs: Callable[[Attrs, Shape], int] = lambda attrs, output: 0
    carries: bool = False
    """A direct connection runs through it: it selects, orders or rescales features but makes no new ones."""


def _same(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    return inputs[0]


def _conv_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    _expect_channels(attrs["in_channels"], inputs[0])
    groups = attrs.get("groups", 1)
    if attrs["out_channels"] < 1:
        raise ShapeFault(f"has {attrs['out_channels']} output channels; at least 1 is needed")
    if attrs["in_channels"] % groups or attrs["out_channels"] % groups:
        raise ShapeFault(f"groups (={groups}) must divide {attrs['in_channels']} and {attrs['out_channels']}")
    return (attrs["out_channels"], *_window(attrs, inputs[0]))


def _window(attrs: Attrs, shape: Shape) -> tuple[int, int]:
    """Output pixels of a sliding window, rounded down."""
    if len(shape) != 3:
        raise ShapeFault(f"needs a feature map (C, H, W), reads {shape}")
    reach = attrs.get("dilation", 1) * (attrs["kernel"] - 1) + 1
    height, width = ((size + 2 * attrs["padding"] - reach) // attrs["stride"] + 1 for size in shape[1:])
    if height < 1 or width < 1:
        raise ShapeFault(f"a {attrs['kernel']} x {attrs['kernel']} window leaves no pixel of {shape[1]} x {shape[2]}")
    return height, width


def _pool_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    return (inputs[0][0], *_window(attrs, inputs[0]))


def _norm_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    _expect_channels(attrs["channels"], inputs[0])
    return inputs[0]


def _concat_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    first_of_size = {shape[1:]: position for position, shape in reversed(list(enumerate(inputs)))}
    if len(first_of_size) > 1:
        sizes = ", ".join(map(_pixels, first_of_size))
        raise ShapeFault(f"joins feature maps of different size: {sizes}", list(first_of_size.values()))
    return (sum(shape[0] for shape in inputs), *inputs[0][1:])


def _global_pool_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    if len(inputs[0]) != 3:
        raise ShapeFault(f"needs a feature map (C, H, W), reads {inputs[0]}")
    return inputs[0][:1]


def _dense_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    if len(inputs[0]) != 1:
        raise ShapeFault(f"needs a vector (C,), reads {inputs[0]}")
    _expect_channels(attrs["in_channels"], inputs[0])
    return (attrs["out_channels"],)


def _expect_channels(declared: int, shape: Shape) -> None:
    if declared != shape[0]:
        raise ShapeFault(f"is made for {declared} channels, reads {shape[0]}")


def _pixels(size: Shape) -> str:
    return " x ".join(map(str, size))


def _conv_params(attrs: Attrs) -> int:
    return int(attrs["out_channels"] * attrs["in_channels"] // attrs.get("groups", 1) * attrs["kernel"] ** 2)


def _conv_macs(attrs: Attrs, output: Shape) -> int:
    return _conv_params(attrs) * prod(output[1:])


def _dense_params(attrs: Attrs) -> int:
    return int((attrs["in_channels"] + 1) * attrs["out_channels"])


def _dense_macs(attrs: Attrs, output: Shape) -> int:
    return int(attrs["in_channels"] * attrs["out_channels"])


OPERATORS: Mapping[str, Operator] = {
    "input": Operator(0, lambda attrs, inputs: tuple(attrs["shape"])),
    "conv": Operator(1, _conv_shape, params=_conv_params, macs=_conv_macs),
    "batch_norm": Operator(
        1,
        _norm_shape,
        params=lambda attrs: 2 * int(attrs["channels"]),
        stats=lambda attrs: 2 * int(attrs["channels"]),
        carries=True,
    ),
    "relu": Operator(1, _same, carries=True),
    "relu6": Operator(1, _same, carries=True),
    "silu": Operator(1, _same, carries=True),
    "gelu": Operator(1, _same, carries=True),
    "hard_swish": Operator(1, _same, carries=True),
    "dropout": Operator(1, _same, carries=True),
    "concat": Operator(None, _concat_shape, carries=True),
    "max_pool": Operator(1, _pool_shape, carries=True),
    "avg_pool": Operator(1, _pool_shape, carries=True),
    "global_avg_pool": Operator(1, _global_pool_shape, carries=True),
    "dense": Operator(1, _dense_shape, params=_dense_params, macs=_dense_macs),
}
