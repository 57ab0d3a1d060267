"""What a row says of values at the ends of a setting: which it takes, at which it is another kind,
and what learned values begin with. What it computes there, test_row_code.py runs.
"""

import json
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from operators.example_values import changes_numbers, computed, drawn
from operators.examples import (
    EXAMPLES,
    READING,
    READING_NAMES,
    network_of,
    read_by,
    together,
)
from operators.special_values import (
    NUMBERS,
    SPECIAL,
    SPECIAL_NAMES,
    attrs_of,
    beyond,
    bounds_of,
    said_with,
    values_of,
)
from operators.test_row_code import import_mindspore
from pydantic import ValidationError

from archspec.compare.compare import compare
from archspec.errors import SpecError
from archspec.graph.ir import Graph, Op
from archspec.operators.table import ACTIVATIONS, OPERATORS
from archspec.readers.mindir.read import read_mindir
from archspec.spec.load import load_spec
from archspec.spec.steps import StepSpec
from archspec.verifiers.setting_bounds import find_beyond_bounds
from archspec.writers.mindspore.create_model import create_network
from archspec.writers.mindspore.export_mindir import export_mindir

Part = Any
ALL, NAMES = [*READING, *SPECIAL], [*READING_NAMES, *SPECIAL_NAMES]


def refused(folder: Path, said: Any, value: str) -> list[str]:
    """The faults of a spec with this step at the last such value, without the place."""
    line = f"  - {json.dumps(said)}"
    lines = ["growth_rate: 4", "block_config: [1, 1]", "transition:", "  steps:", line]
    (folder / "net.yaml").write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_spec(folder / "net.yaml")
    place = f"{folder}/net.yaml:5:{line.rindex(value) + 1} "
    told = map(str, caught.value.diagnostics)
    return [fault.removeprefix(place) for fault in told if fault.startswith(place)]


@pytest.mark.parametrize(
    ("kind", "setting", "part"), NUMBERS, ids=[f"{kind} {name}" for kind, name, _ in NUMBERS]
)
def test_a_number_has_bounds_and_is_refused_beyond_them(
    kind: str, setting: str, part: Part, tmp_path: Path
) -> None:
    """At its place in a spec, with both bounds, and in a graph; so is what is no finite number."""
    bounds, outside = bounds_of(part), beyond(part)
    assert bounds is not None, "without bounds a typo builds what takes all memory"
    assert outside is not None
    for value in outside:
        told = refused(tmp_path, said_with(kind, setting, value), json.dumps(value))
        rule = f"{setting} (={value}) must be in "
        assert any(line.startswith("S004 ") and rule in line for line in told), told
        said = {meant: name for name, meant in OPERATORS[kind].said.items()}
        op = Op("x", kind, (), {said[setting]: value} if setting in said else {})
        assert [*find_beyond_bounds(op)] or not op.attrs
    for value in (float("nan"), float("inf"), str(bounds[0]), True):
        with pytest.raises(ValidationError):
            StepSpec.model_validate(said_with(kind, setting, value))
    for value in bounds:
        assert faults_of_type(said_with(kind, setting, value)) <= {"broken_rule", "broken_rules"}


def faults_of_type(said: Any) -> set[str]:
    """The kinds of faults of a step: rules between several settings are kinds of their own."""
    try:
        StepSpec.model_validate(said)
    except ValidationError as error:
        return {each["type"] for each in error.errors()}
    return set()


@pytest.mark.parametrize("kind", [kind for kind in ACTIVATIONS if OPERATORS[kind].settings])
def test_settings_of_which_nothing_comes_are_refused_together_and_no_others(kind: str) -> None:
    """What gives one number whatever it reads is no activation."""
    row = OPERATORS[kind]
    x = np.linspace(-2000, 2000, 16 * 251).reshape(1, 16, 251, 1)
    known = [{*values_of(kind, name), EXAMPLES[kind][0][name]} for name in row.settings]
    for values in product(*known):
        attrs = {**EXAMPLES[kind][0], **dict(zip(row.settings, values, strict=True))}
        with np.errstate(all="ignore"):
            made = computed(kind, attrs, [x])
        is_nothing = not np.isfinite(made).all() or np.ptp(made) == 0
        assert bool(row.fault(attrs)) == is_nothing, attrs
        said = {"activation": {"kind": kind, **{name: attrs[name] for name in row.settings}}}
        assert (row.fault(attrs) or None) == fault_of(said)


def fault_of(said: Any) -> Any:
    try:
        assert attrs_of(said)
    except ValidationError as error:
        return error.errors()[0]["msg"]
    return None


def gives_alike(kind: str, attrs: Any, other: str) -> bool:
    """Whether another kind gives the same of these attributes, as far as it has them."""
    first, wide = drawn(kind), [1000 * x for x in drawn(kind)]
    own = {name: attrs[name] for name in OPERATORS[other].required}
    with suppress(ValueError):  # a vector, where it needs pixels
        pairs = [(computed(kind, attrs, x), computed(other, own, x)) for x in (first, wide)]
        return all(one.shape == two.shape and np.allclose(one, two) for one, two in pairs)
    return False


def is_plainer(other: str, kind: str, attrs: Any) -> bool:
    """Whether another kind has some of its attributes alone, and the same weights."""
    row, less = OPERATORS[kind], OPERATORS[other]
    if not {*less.required} < {*row.required} or other == "output" or less.is_of_training:
        return False
    own = {name: attrs[name] for name in less.required}
    with suppress(KeyError):  # it needs more than what is required, as a scale does
        return less.arity == row.arity and less.tensors(own) == row.tensors(attrs)
    return False


@pytest.mark.parametrize(("kind", "attrs"), ALL, ids=NAMES)
def test_what_gives_the_same_as_a_plainer_kind_is_compared_as_that(kind: str, attrs: Any) -> None:
    """And nothing else is. What gives back what it reads is idle."""
    row, x = OPERATORS[kind], drawn(kind)[0]
    given = [computed(kind, attrs, [factor * x, *drawn(kind)[1:]]) for factor in (1, 1000)]
    is_back = np.array_equal(given[0], x) and np.array_equal(given[1], 1000 * x)
    is_asked = kind != "output" and not row.cuts_pixels
    assert not is_asked or row.is_idle(attrs, x.shape[1]) == is_back
    if not is_asked or is_back:
        return
    plainer = [other for other in OPERATORS if is_plainer(other, kind, attrs)]
    found = [other for other in plainer if gives_alike(kind, attrs, other)]
    said = row.same_as(attrs)
    assert not said or said in found
    for other in found:
        own = {name: attrs[name] for name in OPERATORS[other].required}
        ours, theirs = (
            Graph.of("one", network_of(kind, attrs)),
            Graph.of("one", network_of(other, own, *read_by(kind))),
        )
        assert compare(ours, theirs).is_equal


FIRST = {"gamma": 1.0, "beta": 0.0, "bias": 0.0, "moving_mean": 0.0, "moving_variance": 1.0}
"""As PyTorch documents its norms, and MindCV starts the biases of its networks."""
LEARNED = [(kind, attrs) for kind, attrs in ALL if OPERATORS[kind].tensors(attrs)]


def first_values(kind: str, attrs: Any) -> dict[str, Any]:
    """The tensors of an operator's own as a new network has them."""
    import_mindspore()
    network = create_network(Graph.of("one", network_of(kind, attrs)))
    named = {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}
    mine = {role.partition(".")[2]: values for role, values in named.items() if "made." in role}
    assert {role: values.shape for role, values in mine.items()} == OPERATORS[kind].tensors(attrs)
    return mine


@pytest.mark.parametrize(("kind", "attrs"), LEARNED)
def test_a_value_of_each_channel_begins_with_what_its_setting_says(kind: str, attrs: Any) -> None:
    """If it has a setting that changes nothing else and that no file tells. Else what scales begins
    with 1, and what is added with 0.
    """
    row, mine = OPERATORS[kind], first_values(kind, attrs)
    unasked = sorted(row.untold & {*row.said} & {*attrs})
    told = [attrs[name] for name in unasked if not changes_numbers(kind, name)]
    for role in mine.keys() - {"weight"}:
        first = told[0] if told and len(mine) == 1 else FIRST[role]
        assert (mine[role] == np.float32(first)).all(), role


@pytest.mark.parametrize("kind", [kind for kind, row in OPERATORS.items() if row.has_filters])
def test_filters_begin_as_those_of_the_published_networks(kind: str) -> None:
    """Those that slide with a variance of 2 / fan out (arXiv 1502.01852), a matrix within 1 / root
    of what it reads; both around 0.
    """
    ins, outs = 64, 128
    attrs = {**EXAMPLES[kind][0], **OPERATORS[kind].of_one_channel}
    weight = first_of_filters(kind, {**attrs, "in_channels": ins, "out_channels": outs})
    spread = (2 / (outs * attrs["kernel"] ** 2)) ** 0.5 if "kernel" in attrs else (3 * ins) ** -0.5
    assert weight.std() == pytest.approx(spread, rel=0.05)
    assert abs(weight.mean()) < 0.05 * spread
    assert ("kernel" in attrs) == (np.abs(weight).max() > 3**0.5 * spread)


def first_of_filters(kind: str, attrs: Any) -> Any:
    import_mindspore()
    pixels = read_by(kind)[0][1:]
    image = Op("x", "input", (), {"shape": (attrs["in_channels"], *pixels)})
    network = create_network(Graph.of("one", [image, Op("made", kind, ("x",), attrs)]))
    return network.parameters_dict()["made.weight"].asnumpy()


IN_A_MINDIR = [(kind, attrs) for kind, attrs in SPECIAL if not OPERATORS[kind].is_of_training]


def part_of(graph: Graph, end: str) -> Graph:
    """What leads to an output of a network; what several outputs are is no operator itself."""
    while graph.ops[end].kind == "output":
        (end,) = graph.ops[end].inputs
    used = nx.ancestors(graph.digraph, end) | {end}
    return Graph.of("part", [op for name, op in graph.ops.items() if name in used])


def test_special_values_of_every_kind_come_back_from_a_mindir(tmp_path: Path) -> None:
    """All of them from one file, in which MindSpore has written equal values once."""
    import_mindspore()
    graph, file = together(IN_A_MINDIR), tmp_path / "all.mindir"
    export_mindir(create_network(graph), graph.ops["x"].attrs["shape"], file)
    found = read_mindir(file)
    ends = zip(IN_A_MINDIR, graph.outputs, found.outputs, strict=True)
    for case, ours, theirs in ends:
        compared = compare(part_of(graph, ours), part_of(found, theirs))
        assert (case, compared.differences) == (case, ())
