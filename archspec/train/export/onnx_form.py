"""How an ONNX is written: what `densenet export` can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from archspec.rewrites.optimize import Level
from archspec.train.export.calibration_images import OF_THE_RUN, Calibration

Precision = Literal["float32", "float16", "bfloat16", "int8"]
OPSETS: Mapping[Precision, int] = {"float32": 18, "float16": 18, "bfloat16": 22, "int8": 18}
"""The oldest that we write, and in which convolutions take such numbers."""


@dataclass(frozen=True)
class OnnxForm:
    """How an ONNX is written."""

    opset: int | None = None
    """The version of its operators; None: the oldest of `OPSETS`."""
    batch: int | None = None
    """Images at once; free where absent."""
    is_sized: bool = True
    """Height and width are the spec's; else they are free."""
    is_checked: bool = True
    """It is run beside MindSpore."""
    has_preprocess: bool = False
    """It reads images as they are, and gives probabilities."""
    precision: Precision = "float32"
    """The numbers of its weights, and those that it computes with."""
    optimize: Level = "none"
    """Which passes rewrite the network before it is written."""
    calibration: Calibration = OF_THE_RUN
    """By which images int8 is calibrated."""

    @property
    def version(self) -> int:
        """The version of its operators."""
        return OPSETS[self.precision] if self.opset is None else self.opset


IN_FLOAT32 = OnnxForm()
"""What is written where nothing is said."""
