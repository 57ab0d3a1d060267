"""Settings of a file's operators that the language has, but not so small or large."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import ValidationError

from archspec.graph.ir import Op
from archspec.lift.matching_steps import NORMS
from archspec.lift.operators_to_steps import ACTIVATIONS
from archspec.spec.reading.document import Document
from archspec.spec.reading.validation_errors import diagnose
from archspec.spec.steps import StepSpec

_POOL = {"kernel": "kernel", "stride": "stride", "padding": "padding"}
_CONV = {"out_channels": "width", **_POOL}

# What a step is called, and its settings by the attributes that say them.
_STEPS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "conv": ("conv", {**_CONV, "dilation": "dilation", "groups": "groups"}),
    "conv_transpose": ("conv_transpose", _CONV),
    "max_pool": ("max_pool", _POOL),
    "avg_pool": ("avg_pool", _POOL),
    "blur_pool": ("blur_pool", {"kernel": "kernel", "stride": "stride"}),
    "upsample": ("upsample", {"factor": "factor"}),
    "shuffle": ("shuffle", {"groups": "groups"}),
    "slice": ("slice", {"start": "start", "stop": "stop"}),
    "dense": ("dense", {"out_channels": "width"}),
    **dict.fromkeys(NORMS, ("norm", {"eps": "eps", "groups": "groups"})),
    **dict.fromkeys(ACTIVATIONS, ("activation", {"slope": "slope"})),
}


def beyond_bounds(op: Op) -> Iterator[str]:
    """Yield the settings of an operator that no step may have, each with its bounds."""
    step, names = _STEPS.get(op.kind, ("", {}))
    if not step:
        return
    said = {names[key]: value for key, value in op.attrs.items() if key in names}
    known = {key: value for key, value in said.items() if not isinstance(value, tuple | None)}
    kind = {"kind": NORMS.get(op.kind, op.kind)} if step in ("norm", "activation") else {}
    values = {step: {**kind, **known}}
    try:
        StepSpec.model_validate(values)
    except ValidationError as error:
        yield from (fault.message for fault in diagnose(error, StepSpec, Document(values)))
