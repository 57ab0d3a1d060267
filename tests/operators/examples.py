"""An operator of each kind with settings of which none is the default and no two are equal, so that
one that is read for another, or lost on its way, is seen; and what it reads, higher than wide.
"""

from collections.abc import Mapping
from typing import Any

from archspec.operators.table import OPERATORS, ROWS, norm_name

Settings = tuple[Mapping[str, Any], ...]
"""Those of one operator or several of a kind."""
MAP = (16, 9, 6)
VECTOR = (16,)
NORM = {"channels": 16, "eps": 0.003}
POOL = {"kernel": 5, "stride": 4, "padding": 1, "ceil": True}
SIZES = {"in_channels": 16, "out_channels": 24}

EXAMPLES: Mapping[str, Settings] = {
    **{row.kind: ({},) for row in ROWS if not {*row.required, *row.defaults}},
    "gelu": ({},),
    "input": ({"shape": MAP},),
    "conv": (
        {
            **SIZES,
            "kernel": 3,
            "stride": 2,
            "padding": 5,
            "dilation": 4,
            "groups": 8,
            "bias": True,
            "standardized": True,
            "weight_eps": 0.01,
        },
        {**SIZES, "kernel": 5, "stride": 2, "padding": 1},
    ),
    "conv_transpose": ({**SIZES, "kernel": 5, "stride": 3, "padding": 1, "bias": True},),
    "dense": ({**SIZES, "bias": False}, SIZES),
    "batch_norm": ({**NORM, "momentum": 0.3},),
    "layer_norm": (NORM,),
    "group_norm": ({**NORM, "groups": 4},),
    "instance_norm": (NORM,),
    "rms_norm": (NORM,),
    "leaky_relu": ({"slope": 0.3},),
    "prelu": ({"channels": 16, "slope": 0.1},),
    "elu": ({"alpha": 0.3},),
    "softplus": ({"beta": 3.0},),
    "hard_tanh": ({"low": -0.5, "high": 2.0},),
    "dropout": ({"rate": 0.3},),
    "dropout2d": ({"rate": 0.3},),
    "drop_path": ({"rate": 0.3},),
    "max_pool": (POOL, {**POOL, "ceil": False}),
    "avg_pool": (POOL, {**POOL, "ceil": False}),
    "blur_pool": ({"kernel": 5, "stride": 3, "padding": 3},),
    "global_avg_pool": ({"keep": True}, {}),
    "global_max_pool": ({"keep": True}, {}),
    "upsample": (
        {"factor": 3, "mode": "bilinear", "align_corners": True},
        {"factor": 3, "mode": "bilinear"},
        {"factor": 3, "mode": "nearest"},
    ),
    "pixel_shuffle": ({"factor": 4},),
    "pixel_unshuffle": ({"factor": 3},),
    "crop": ({"size": (5, 3), "corner": (2, 1)},),
    "slice": ({"start": 3, "stop": 8},),
    "shuffle": ({"groups": 4},),
    "scale": ({"value": 0.25}, {"channels": 16, "initial": 0.1}),
}
READ: Mapping[str, tuple[tuple[int, ...], ...]] = {
    "input": (),
    "dense": (VECTOR,),
    "concat": (MAP, (3, 9, 6)),
    "multiply": (MAP, (16, 1, 1)),
    "add": (MAP, MAP, MAP),
}
"""What it reads where that is not one map."""
ALL = [(kind, attrs) for kind, each in EXAMPLES.items() for attrs in each]
NAMES = [f"{kind} {number}" for kind, each in EXAMPLES.items() for number in range(len(each))]


def read_by(kind: str) -> tuple[tuple[int, ...], ...]:
    """The shapes, (C, H, W) or (C,), that an example reads."""
    return READ.get(kind, (MAP,))


def default_of(kind: str, name: str) -> Any:
    """What an attribute is where a spec says nothing of it; None where that is no one value."""
    row = OPERATORS[kind]
    fields = row.step.settings.model_fields if row.step else {}
    field = fields.get(row.said.get(name, ""))
    return field.default if field and not field.is_required() else row.settings.get(name)


def step_of(kind: str) -> dict[str, Any]:
    """The step of a spec that says a kind's first example; of norms and activations too."""
    row, attrs = OPERATORS[kind], EXAMPLES[kind][0]
    said = {setting: attrs[name] for name, setting in row.said.items() if name in attrs}
    if row.step is None:
        return {row.family: {"kind": norm_name(kind), **said}}
    words = [{"kind": word} for word, named in row.step.kinds.items() if named == kind]
    widths = {setting: attrs[name] for setting, name in row.step.widths.items()}
    return {row.step.name: {**said, **widths, **dict(*words)}}


def steps_beside(*documents: Any) -> list[tuple[str, dict[str, Any]]]:
    """Kinds that none of these specs names, each with the step of its example, but for what does
    nothing in evaluation. Of `activation: elu` and `conv: {...}` the kind is a text of its own.
    """
    written = str(documents)
    found = []
    for kind, row in OPERATORS.items():
        words = {kind, norm_name(kind), row.step.name if row.step else kind}
        is_said = row.step is not None or row.family == "activation"
        if is_said and not row.is_of_training and not any(f"'{word}'" in written for word in words):
            found.append((kind, step_of(kind)))
    return found
