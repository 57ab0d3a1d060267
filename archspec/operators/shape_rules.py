"""What the rows say of shapes, (C, H, W) without the batch, or (C,) once the pixels are gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Shape = tuple[int, ...]


class ShapeFault(Exception):
    """Input shapes do not fit an operator; the message says which and why.

    `inputs` are the positions of the inputs that the message speaks of.
    """

    def __init__(self, message: str, inputs: Sequence[int] = ()) -> None:
        super().__init__(message)
        self.inputs = tuple(inputs)


class NoPixelLeft(ShapeFault):
    """A window of `kernel` pixels is too large for the map: a larger image would do."""


def same_shape(attrs: Mapping[str, Any], inputs: Sequence[Shape]) -> Shape:
    """Return the shape that is read."""
    return inputs[0]


def of_its_channels(attrs: Mapping[str, Any], inputs: Sequence[Shape]) -> Shape:
    """Return the shape that is read;
    its channels must be those that the operator has weights for.
    """
    expect_channels(attrs["channels"], inputs[0])
    return inputs[0]


def sides(padding: Any) -> tuple[int, int, int, int]:
    """Return (top, bottom, left, right) of a padding in pixels:
    one number where all sides have the same.
    """
    top, bottom, left, right = padding if isinstance(padding, tuple) else (padding,) * 4
    return top, bottom, left, right


def window_pixels(attrs: Mapping[str, Any], shape: Shape) -> tuple[int, int]:
    """Return the output pixels of a sliding window, rounded down unless `ceil` is set."""
    expect_map(shape)
    reach = attrs.get("dilation", 1) * (attrs["kernel"] - 1) + 1
    part, stride = attrs["stride"] - 1 if attrs.get("ceil") else 0, attrs["stride"]
    top, bottom, left, right = sides(attrs["padding"])
    along = ((top, shape[1], bottom), (left, shape[2], right))
    height, width = (
        (before + size + after - reach + part) // stride + 1 for before, size, after in along
    )
    if part:  # a window that would start beyond the image and its left border is left out
        lasts = ((before + size - 1) // stride + 1 for before, size, _ in along)
        height, width = map(min, (height, width), lasts)
    if height < 1 or width < 1:
        kernel = f"{attrs['kernel']} x {attrs['kernel']}"
        raise NoPixelLeft(f"a {kernel} window leaves no pixel of {shape[1]} x {shape[2]}")
    return height, width


def is_whole_map(attrs: Mapping[str, Any], pixels: Sequence[int]) -> bool:
    """Return whether a window is all of a map of so many pixels, (H, W), and nothing beside."""
    return not attrs["padding"] and tuple(pixels) == (attrs["kernel"],) * 2


def expect_map(shape: Shape) -> Shape:
    """Return a shape that has pixels, else raise a fault."""
    if len(shape) != 3:
        raise ShapeFault(f"needs a feature map (C, H, W), reads {shape}")
    return shape


def expect_outputs(attrs: Mapping[str, Any]) -> None:
    """Raise a fault where an operator would give no channel."""
    if attrs["out_channels"] < 1:
        raise ShapeFault(f"has {attrs['out_channels']} output channels; at least 1 is needed")


def expect_channels(declared: int, shape: Shape) -> None:
    """Raise a fault where an operator has weights for another number of channels."""
    if declared != shape[0]:
        raise ShapeFault(f"is made for {declared} channels, reads {shape[0]}")


def sizes(shape: Sequence[int]) -> str:
    """Return `64 x 56 x 56`."""
    return " x ".join(map(str, shape))


def weight_and_bias(weight: Shape, outs: int, bias: bool) -> Mapping[str, Shape]:
    """Return the tensors of what makes so many channels by weights, and may add to each."""
    return {"weight": weight, "bias": (outs,)} if bias else {"weight": weight}


def without_pixels(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a pool over all pixels that gives a vector in place of one pixel."""
    return {name: value for name, value in attrs.items() if name != "keep"}
