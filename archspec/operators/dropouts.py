"""Operators that do something in training alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from archspec.operators.attributes import Attrs, Widths
from archspec.operators.file_node import Feature, FileNode
from archspec.operators.language_step import Step
from archspec.operators.mindspore_writing import MindSpore
from archspec.operators.onnx_writing import as_it_is
from archspec.operators.operator import Operator, always_idle
from archspec.operators.shape_rules import Shape, expect_map, same_shape
from archspec.settings import Rate, SpecModel


class DropoutStep(SpecModel):
    """Dropout of single values;
    the part's rate where absent, and nothing at all for a rate of 0.
    """

    rate: Rate | None = None
    """Share of the values that are dropped in training."""


class Dropout2dStep(SpecModel):
    """Dropout of whole channels of an image (Tompson et al. 2015)."""

    rate: Rate
    """Share of the channels that are dropped in training; 0: nothing at all."""


class DropPathStep(SpecModel):
    """Drops all that it reads of an image, and scales the other images up (Huang et al. 2016)."""

    rate: Rate
    """Share of the images of which nothing is left in training; 0: nothing at all."""
    over: Literal["depth"] | None = None
    """`depth`: from 0 in the network's first layer evenly up to `rate` in its last."""


def _rate(step: DropoutStep | Dropout2dStep | DropPathStep, ins: int, known: Widths) -> Attrs:
    return {"rate": step.rate}


def _of_maps(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    return expect_map(inputs[0])


_DROP_PATH = '''\
class DropPath(nn.Cell):
    """In training, nothing of an image in a share `rate` of them, the others scaled up."""

    def __init__(self, rate):
        super().__init__()
        self.kept = nn.Dropout(p=rate)

    def construct(self, x):
        if not self.training:
            return x
        return x * self.kept(ops.ones((x.shape[0],) + (1,) * (x.ndim - 1), x.dtype))
'''


def _refuse_training(node: FileNode) -> None:
    node.refuse("drops features at random: exported in training mode")


def _onnx_dropout(node: FileNode) -> Any:
    """In evaluation it is what it reads, a constant too."""
    if node.option("training_mode", 2, False):
        _refuse_training(node)
    return node.inputs[0]


def _mindir_dropout(node: FileNode) -> tuple[Feature, None]:
    if node.option("keep_prob", 1, 0.5) != 1:
        _refuse_training(node)
    return node.feature(), None


ROWS = (
    Operator(
        "dropout",
        same_shape,
        MindSpore(cell="nn.Dropout(p={rate})", varying=("rate",)),
        required=("rate",),
        is_idle=always_idle,
        in_training=frozenset({"rate"}),
        other_keys={"p": "rate"},  # torch
        step=Step(
            "dropout",
            DropoutStep,
            _rate,
            base="drop",
            said={"rate": "rate"},
            note=(
                "`drop_rate` in layers, `head.dropout` in the head where no rate is said; a rate of"
                " 0 is no operator; see `drop_after`"
            ),
        ),
        mindir={"Dropout": _mindir_dropout},
        onnx={"Dropout": _onnx_dropout},
        write_onnx=as_it_is,
    ),
    Operator(
        "dropout2d",
        _of_maps,
        MindSpore(cell="nn.Dropout2d(p={rate})", varying=("rate",)),
        required=("rate",),
        is_idle=always_idle,
        in_training=frozenset({"rate"}),
        hint="`dropout` drops values of a vector",
        other_names=("spatial_dropout", "spatial_dropout2d", "feature_dropout"),
        other_keys={"p": "rate"},  # torch
        step=Step(
            "dropout2d",
            Dropout2dStep,
            _rate,
            base="drop",
            said={"rate": "rate"},
            note="whole channels of an image are dropped",
        ),
        write_onnx=as_it_is,
    ),
    Operator(
        "drop_path",
        same_shape,
        MindSpore(cell="{name}({rate})", varying=("rate",), definition=_DROP_PATH, name="DropPath"),
        required=("rate",),
        is_idle=always_idle,
        in_training=frozenset({"rate"}),
        other_names=("stochastic_depth",),
        other_keys={"p": "rate", "drop_prob": "rate"},  # torchvision; timm, MindCV
        step=Step(
            "drop_path",
            DropPathStep,
            _rate,
            said={"rate": "rate"},
            note=(
                "all that it reads of an image is dropped; `over: depth`: the rate of the network's"
                " layer i of L is `rate` x (i - 1) / (L - 1), so that the first layer has none"
            ),
        ),
        write_onnx=as_it_is,
    ),
)
