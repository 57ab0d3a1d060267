"""The table of operators: what each node of an ONNX is in the IR, or does to constants.

The rows say it of operators; what stands here is the format's own. What is in neither is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from archspec.operators.table import OPERATORS as ROWS
from archspec.readers.onnx import layouts, quantised, slices, vectors, windows
from archspec.readers.onnx.call import Call
from archspec.readers.onnx.constants import CONSTANTS, pass_on
from archspec.readers.onnx.elementwise import PARTS
from archspec.readers.onnx.filter_nodes import FILTERS, is_of_filters
from archspec.readers.readings import collect_readings
from archspec.readers.trace import UNKNOWN, Feature, Unsupported


def read_fused_conv(call: Call) -> Feature:
    """Return a convolution and the activation that ONNX Runtime put into it."""
    if call.has(3):
        raise Unsupported(UNKNOWN)
    return _read_fused(call, "Conv", call.attrs.get("activation_params", ()))


def read_fused_gemm(call: Call) -> Feature:
    """Return a dense layer and the activation that ONNX Runtime put into it."""
    names = ("activation_alpha", "activation_beta")
    given = [call.attrs[name] for name in names if name in call.attrs]
    return _read_fused(call, "Gemm", given)


def _read_fused(call: Call, node: str, given: Sequence[float]) -> Feature:
    activation = call.attrs.get("activation", "")
    if activation not in _FUSED or len(given) != len(_FUSED[activation]):
        raise Unsupported(UNKNOWN)
    settings = dict(zip(_FUSED[activation], given, strict=True))
    made = (OPERATORS[node](call),)
    activated = replace(call, kind=activation, inputs=made, attrs=settings)
    return OPERATORS[activation](activated)  # type: ignore[no-any-return]


_FUSED: Mapping[str, tuple[str, ...]] = {
    "Relu": (),
    "Sigmoid": (),
    "Tanh": (),
    "LeakyRelu": ("alpha",),
    "Clip": ("min", "max"),
    "HardSigmoid": ("alpha", "beta"),
}
"""Activations in another operator, and the names of what is said of them by place alone: what ONNX
Runtime puts together, and how it lists numbers, is its own and no fact of an operator."""

_OWN: Mapping[str, Callable[[Call], Any]] = {
    **PARTS,
    **quantised.FEATURES,
    "com.microsoft::FusedConv": read_fused_conv,
    "com.microsoft::FusedGemm": read_fused_gemm,
    "Pad": windows.pad,
    "Slice": slices.slices,
    "Split": slices.split,
    "ReduceMax": vectors.other_maximum,
    "ReduceMean": vectors.other_mean,
    "Flatten": vectors.flatten,
    "Squeeze": vectors.squeeze,
    "Reshape": layouts.reshape,
    "Transpose": layouts.transpose,
}
IN_SEVERAL: Mapping[str, Callable[[Call], Any]] = {"ReduceMean": vectors.mean_in_steps}
"""Nodes of which several come to one operator: no row is asked for them one by one."""
OPERATORS = collect_readings((row.onnx for row in ROWS.values()), _OWN, IN_SEVERAL)
CONSTANT_OPERATORS: Mapping[str, Callable[[Call], Any]] = {**CONSTANTS, **quantised.WEIGHTS}
ON_BOTH: Mapping[str, Callable[[Call], Any]] = {
    **dict.fromkeys(("Identity", "Cast"), pass_on),
    "Shape": CONSTANTS["Shape"],
    **collect_readings((row.onnx for row in ROWS.values() if row.is_of_training), {}),
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
