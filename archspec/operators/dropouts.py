"""Operators that do something in training alone."""

from __future__ import annotations

from archspec.operators.operator import Attrs, MindSpore, Operator
from archspec.operators.shapes import same_shape


def _always_idle(attrs: Attrs, channels: int) -> bool:
    return True


ROWS = (
    Operator(
        "dropout",
        same_shape,
        MindSpore(cell="nn.Dropout(p={rate})"),
        required=("rate",),
        is_idle=_always_idle,
        in_training=frozenset({"rate"}),
    ),
)
