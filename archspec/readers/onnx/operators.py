"""The table of operators: what each node of an ONNX is in the IR, or does to constants.

What is not here is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from archspec.readers.onnx import channels as slices
from archspec.readers.onnx import classifier as shapes
from archspec.readers.onnx import layouts, quantised, windows
from archspec.readers.onnx.call import Call
from archspec.readers.onnx.constants import CONSTANTS, pass_on
from archspec.readers.onnx.elementwise import ELEMENTS
from archspec.readers.onnx.filters import FILTERS, is_of_filters
from archspec.readers.trace import UNKNOWN, Feature, Unsupported


def read_fused_conv(call: Call) -> Feature:
    """Return a convolution and the activation that ONNX Runtime put into it."""
    if call.has(3):
        raise Unsupported(UNKNOWN)
    return _read_fused(call, windows.conv, call.attrs.get("activation_params", ()))


def read_fused_gemm(call: Call) -> Feature:
    """Return a dense layer and the activation that ONNX Runtime put into it."""
    names = ("activation_alpha", "activation_beta")
    return _read_fused(
        call, shapes.gemm, [call.attrs[name] for name in names if name in call.attrs]
    )


def _read_fused(call: Call, operator: Callable[[Call], Feature], given: Sequence[float]) -> Feature:
    kind = call.attrs.get("activation", "")
    if kind not in _FUSED or len(given) != len(_FUSED[kind]):
        raise Unsupported(UNKNOWN)
    settings = dict(zip(_FUSED[kind], given, strict=True))
    return ELEMENTS[kind](replace(call, kind=kind, inputs=(operator(call),), attrs=settings))


_FUSED: Mapping[str, tuple[str, ...]] = {
    "Relu": (),
    "Sigmoid": (),
    "Tanh": (),
    "LeakyRelu": ("alpha",),
    "Clip": ("min", "max"),
    "HardSigmoid": ("alpha", "beta"),
}
"""Activations in another operator, and the names of what is said of them."""

OPERATORS: Mapping[str, Callable[[Call], Any]] = {
    **ELEMENTS,
    **quantised.FEATURES,
    "Conv": windows.conv,
    "com.microsoft::FusedConv": read_fused_conv,
    "com.microsoft::FusedGemm": read_fused_gemm,
    "ConvTranspose": windows.conv_transpose,
    "MaxPool": windows.max_pool,
    "AveragePool": windows.avg_pool,
    "Pad": windows.pad,
    "Slice": slices.slices,
    "Split": slices.split,
    **dict.fromkeys(("Resize", "Upsample"), windows.resize),
    "DepthToSpace": layouts.depth_to_space,
    "GlobalAveragePool": partial(shapes.global_pool, "global_avg_pool"),
    "GlobalMaxPool": partial(shapes.global_pool, "global_max_pool"),
    "ReduceMax": shapes.maximum,
    "ReduceMean": shapes.mean,
    "Flatten": shapes.flatten,
    "Squeeze": shapes.squeeze,
    "Reshape": layouts.reshape,
    "Transpose": layouts.transpose,
    "Concat": shapes.concat,
    "MatMul": shapes.matmul,
    "Gemm": shapes.gemm,
}
CONSTANT_OPERATORS: Mapping[str, Callable[[Call], Any]] = {**CONSTANTS, **quantised.WEIGHTS}
ON_BOTH: Mapping[str, Callable[[Call], Any]] = {
    **dict.fromkeys(("Identity", "Cast", "Dropout"), pass_on),
    "Shape": CONSTANTS["Shape"],
}
"""What does the same to features and to constants."""
KNOWN = frozenset({*OPERATORS, *CONSTANT_OPERATORS, *FILTERS, *ON_BOTH})
"""Kinds of nodes that are read; a file with any other on the way to its output is refused."""


def table_for(call: Call) -> Mapping[str, Callable[[Call], Any]]:
    """Return the operators among which a node's is looked up:
    those on features, those on filters, or those on other constants alone.
    """
    if call.kind in ON_BOTH:
        return ON_BOTH
    if is_of_filters(call):
        return FILTERS
    has_features = any(isinstance(value, Feature) for value in call.inputs)
    return OPERATORS if has_features else CONSTANT_OPERATORS
