"""What a graph begins and ends with."""

from __future__ import annotations

from collections.abc import Sequence

from archspec.operators.attributes import Attrs, always
from archspec.operators.mindspore_writing import MindSpore
from archspec.operators.onnx_writing import node_of
from archspec.operators.operator import Operator
from archspec.operators.shape_rules import Shape, same_shape


def _image_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    return tuple(attrs["shape"])


def _image_channels(attrs: Attrs, inputs: Sequence[int]) -> int:
    return int(attrs["shape"][0])


ROWS = (
    Operator(
        "input",
        _image_shape,
        arity=0,
        channels=_image_channels,
        carries=False,
        required=("shape",),
        is_never_negative=True,  # of an image: a quantiser saw no pixel below zero
    ),
    Operator(
        "output",
        same_shape,
        MindSpore(call="{x}", is_inline=True),
        tells_places=always,
        keeps_logits=True,
        write_onnx=node_of("Identity"),
    ),
)
