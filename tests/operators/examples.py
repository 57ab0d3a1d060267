"""An operator of each kind with settings of which none is the default and no two are equal, so that
one that is read for another, or lost on its way, is seen; and what it reads, higher than wide.
"""

from collections.abc import Mapping
from typing import Any

from archspec.graph.ir import Graph, Op
from archspec.operators.shape_rules import ShapeFault
from archspec.operators.table import JOINS, OPERATORS, ROWS, norm_name

Attrs = Mapping[str, Any]
Settings = tuple[Attrs, ...]
"""Those of one operator or several of a kind."""
Shape = tuple[int, ...]
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
READ: Mapping[str, tuple[Shape, ...]] = {
    "input": (),
    "dense": (VECTOR,),
    "concat": (MAP, (3, 9, 6)),
    "multiply": (MAP, (16, 1, 1)),
}
"""What it reads where that is neither one map nor, of a join, maps that are alike."""
ALL = [(kind, attrs) for kind, each in EXAMPLES.items() for attrs in each]
NAMES = [f"{kind} {number}" for kind, each in EXAMPLES.items() for number in range(len(each))]
READING = [(kind, attrs) for kind, attrs in ALL if OPERATORS[kind].arity != 0]
READING_NAMES = [name for (kind, _), name in zip(ALL, NAMES, strict=True) if kind != "input"]
"""Those that read something."""


def takes_vectors(kind: str, attrs: Attrs) -> bool:
    """Whether an operator that reads one map reads a vector of as many channels, too."""
    if read_by(kind) != (MAP,):
        return False
    try:
        OPERATORS[kind].shape(attrs, [VECTOR])
    except ShapeFault:
        return False
    return True


def read_by(kind: str) -> tuple[Shape, ...]:
    """The shapes, (C, H, W) or (C,), that an example reads."""
    arity = OPERATORS[kind].arity
    return READ.get(kind, (MAP,) * (3 if arity is None else arity))


OF_VECTORS = [(kind, attrs) for kind, attrs in READING if takes_vectors(kind, attrs)]
"""Those that are over a vector what they are over a map."""


def making(shape: Shape, number: int = 1) -> tuple[str, Attrs]:
    """The kind and attributes of what makes a value of this shape of the map that examples read;
    those of other numbers differ.
    """
    channels, *pixels = shape
    if len(pixels) == 0:
        return "global_avg_pool", {}
    if pixels == [1, 1]:
        return "global_avg_pool", {"keep": True}
    if channels < MAP[0]:
        return "slice", {"start": 0, "stop": channels}
    if shape != MAP:
        return "crop", {"size": tuple(pixels), "corner": (0, 0)}
    return ("sigmoid", "tanh")[number % 2], {}


def network_of(kind: str, attrs: Attrs, *read: Shape) -> list[Op]:
    """An image of MAP, what is made of it, and an operator that reads these; `read` are other
    shapes than those of the kind's example.
    """
    if OPERATORS[kind].arity == 0:
        return [Op("x", kind, (), attrs)]
    ops, inputs = [Op("x", "input", (), {"shape": MAP})], ["x"]
    for number, shape in enumerate(read or read_by(kind)):
        if number or shape != MAP:
            of_image, own = making(shape, number)
            ops.append(Op(f"x{number}", of_image, ("x",), own))
            inputs[number:] = [f"x{number}"]
    return [*ops, Op("made", kind, tuple(inputs), attrs)]


def together(cases: list[tuple[str, Attrs]]) -> Graph:
    """One network of an image and of all of these, each an output of its own."""
    found = [Op("x", "input", (), {"shape": MAP})]
    for number, (kind, attrs) in enumerate(cases):
        _, *ops = network_of(kind, attrs)
        names = {op.name: f"{op.name}of{number}" for op in ops}
        for op in ops:
            inputs = tuple(names.get(source, source) for source in op.inputs)
            found.append(Op(names[op.name], op.kind, inputs, op.attrs))
    return Graph.of("all", found)


def default_of(kind: str, name: str) -> Any:
    """What an attribute is where a spec says nothing of it; None where that is no one value."""
    row = OPERATORS[kind]
    fields = row.step.settings.model_fields if row.step else {}
    field = fields.get(row.said.get(name, ""))
    return field.default if field and not field.is_required() else row.settings.get(name)


def step_of(kind: str) -> dict[str, Any]:
    """The step of a spec that says a kind's first example; of norms, activations, joins too."""
    if kind in JOINS:
        others = enumerate(read_by(kind)[1:], start=1)
        branches = [[say(*making(shape, number))] for number, shape in others]
        return {"branches": {"join": kind, "of": [[], *branches]}}
    return say(kind, EXAMPLES[kind][0])


def say(kind: str, attrs: Attrs) -> dict[str, Any]:
    """The step of a spec that says an operator with these attributes."""
    row = OPERATORS[kind]
    said = {setting: attrs[name] for name, setting in row.said.items() if name in attrs}
    if row.step is None:
        return {row.family: {"kind": norm_name(kind), **said}}
    words = [("kind", word) for word, named in row.step.kinds.items() if named == kind]
    widths = {setting: attrs[name] for setting, name in row.step.widths.items()}
    return {row.step.name: {**said, **widths, **dict(words)}}


def steps_beside(*documents: Any) -> list[tuple[str, dict[str, Any]]]:
    """Kinds that none of these specs names, each with the step of its example, but for what does
    nothing in evaluation. Of `activation: elu` and `conv: {...}` the kind is a text of its own.
    """
    written = str(documents)
    found = []
    for kind, row in OPERATORS.items():
        is_said = row.step is not None or row.family != "" or kind in JOINS
        if is_said and not row.is_of_training and not is_named(kind, written):
            found.append((kind, step_of(kind)))
    return found


def is_named(kind: str, written: str) -> bool:
    """Whether a text has an operator's kind, or its step; of one that several share, its word."""
    row = OPERATORS[kind]
    words = {kind, norm_name(kind), row.step.name if row.step else kind}
    if row.step and row.step.kinds:
        (word,) = (word for word, named in row.step.kinds.items() if named == kind)
        is_usual = word == row.step.settings.model_fields["kind"].default
        words = {row.step.name} if is_usual else {word}
    return any(f"'{word}'" in written for word in words)
