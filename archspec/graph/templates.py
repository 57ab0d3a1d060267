"""What a dense layer consists of: lists of operators, each `(name, kind, width)`.

A width names the output channels of a convolution; the builder fills in the input's. Kernels are part of the
name's row so that the table reads like the paper's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """One operator of a template."""

    name: str
    kind: str
    """`norm`, `activation`, `conv`, `dropout`."""
    width: str = ""
    """Of a convolution: `growth` (k) or `bottleneck` (a multiple of k)."""
    kernel: int = 1


LAYERS: Mapping[str, tuple[Step, ...]] = {
    # DenseNet-B: Huang et al. 2017, section 3, "Bottleneck layers"; names are torchvision's.
    "bottleneck": (
        Step("norm1", "norm"),
        Step("relu1", "activation"),
        Step("conv1", "conv", "bottleneck", 1),
        Step("norm2", "norm"),
        Step("relu2", "activation"),
        Step("conv2", "conv", "growth", 3),
        Step("drop", "dropout"),
    ),
    # DenseNet: section 3, "Composite function".
    "basic": (
        Step("norm1", "norm"),
        Step("relu1", "activation"),
        Step("conv1", "conv", "growth", 3),
        Step("drop", "dropout"),
    ),
}
