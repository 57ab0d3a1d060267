"""Pools over a map of one pixel: exporters leave them out,
and it does not matter at which operator a vector is made of the pixel.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import oracle
import pytest
from compare.test_compare import lines, nameless
from compare.test_equal_operators import bypassed, conv, spec_of
from readers.onnx_styles import STYLES, Step, optimised, outputs_of, written

from archspec.certify.liveness import check_liveness
from archspec.compare.compare import Comparison, compare
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph
from archspec.lift.lift import lift
from archspec.operators.table import GLOBAL_POOLS
from archspec.readers.onnx.read import OnnxReading, onnx_reading
from archspec.spec.load import validate
from archspec.spec.reading.shorthand import expand_short_forms
from archspec.spec.reading.yaml_reader import read_text
from archspec.spec.spec import Spec

MEAN: Any = {"global_pool": {"keep": True}}
MAXIMUM: Any = {"global_pool": {"keep": True, "kind": "max"}}
VECTOR: Any = "global_pool"
GATE = {"branches": {"join": "multiply", "of": [[], [MEAN, {"activation": "sigmoid"}]]}}
SQUEEZE = {"squeeze_excite": {"reduction": 2}}
POINT = conv(8, 1)
GROUPS = {"norm": {"kind": "group", "groups": 2}}
NORMED = ["norm", "activation"]
LAST: Any = {"conv": {"width": "out", "kernel": 1, "bias": True}}

OF_ONE_PIXEL: dict[str, dict[str, Any]] = {
    "the mean in a layer": {"layer": ["norm", MEAN, "activation", conv("k")]},
    "the maximum in a layer": {"layer": ["norm", MAXIMUM, "activation", conv("k")]},
    "a branch": {"layer": ["norm", {"branches": {"of": [["activation"], [MEAN]]}}, conv("k")]},
}
OF_ANY_MAP: dict[str, dict[str, Any]] = {
    "a squeeze-and-excitation": {"layer": ["norm", conv("k"), SQUEEZE]},
    "a gate": {"layer": ["norm", GATE, conv("k")]},
    "a transition": {"blocks": [{"layers": 1}] * 2, "transitions": [{"steps": [MAXIMUM, POINT]}]},
    "nothing but a transition": {"blocks": [{"layers": 1}] * 2, "transitions": [{"steps": [MEAN]}]},
    "the stem's end": {"stem": [POINT, MEAN]},
    "the stem's beginning": {"stem": [MEAN, POINT]},
    "the head": {"head": [*NORMED, MEAN, LAST]},
    "an output": {"head": [*NORMED, MEAN]},
}
VECTORS: dict[str, dict[str, Any]] = {
    "a usual head": {"head": [*NORMED, VECTOR, "dense"]},
    "the maximum": {"head": [*NORMED, {"global_pool": {"kind": "max"}}, "dense"]},
    "an output that is a vector": {"head": [*NORMED, VECTOR]},
    "a convolution before the pool": {"head": [*NORMED, LAST, VECTOR]},
    "a folded norm before the pool": {"head": [*NORMED, POINT, *NORMED, VECTOR, "dense"]},
    "a norm of groups": {"head": [GROUPS, POINT, VECTOR, "dense"]},
    "two pools": {"head": ["norm", MEAN, POINT, MAXIMUM, VECTOR, "dense"]},
    "a larger window before the pool": {"head": [conv(8), VECTOR, "dense"]},
    "channels in another order": {"head": [POINT, {"shuffle": {"groups": 2}}, VECTOR, "dense"]},
    "a long way": {"head": [*[*NORMED, POINT] * 6, VECTOR, "dense"]},
}
KEPT = OF_ONE_PIXEL | OF_ANY_MAP
ALL = KEPT | VECTORS


def spec_over(pixels: int, settings: dict[str, Any]) -> Graph:
    return spec_of(**{"input": {"height": pixels, "width": pixels}, "stem": [POINT]} | settings)


def without_kept_pools(graph: Graph) -> Graph:
    for op in graph.ops.values():
        if op.kind in GLOBAL_POOLS and op.attrs.get("keep"):
            graph = bypassed(graph, graph.ops[op.name])
    return graph


@pytest.mark.parametrize("settings", KEPT.values(), ids=KEPT)
def test_a_pool_over_one_pixel_may_be_left_out(settings: dict[str, Any]) -> None:
    """Of the file, or of the spec; the connections are the same."""
    spec = spec_over(1, settings)
    bare = without_kept_pools(spec)
    assert len(bare.ops) < len(spec.ops)
    for ours, theirs in ((spec, bare), (bare, spec), (spec, spec)):
        found = compare(ours, nameless(theirs))
        assert (lines(found), found.notes) == ([], ())
        assert all(block.edges == block.expected_edges for block in found.blocks)


@pytest.mark.parametrize("settings", OF_ANY_MAP.values(), ids=OF_ANY_MAP)
def test_a_pool_over_more_pixels_may_not_be_left_out(settings: dict[str, Any]) -> None:
    """Where others follow it over its one pixel, neither."""
    spec = spec_over(2, settings)
    assert lines(compare(spec, nameless(spec))) == []
    assert lines(compare(spec, nameless(without_kept_pools(spec)))) != []
    assert lines(compare(without_kept_pools(spec), nameless(spec))) != []


WINDOWS: dict[str, tuple[dict[str, Any], bool]] = {
    "every second pixel": ({"avg_pool": {"kernel": 1, "stride": 2}}, True),
    "a maximum with its padding": ({"max_pool": {"kernel": 3, "stride": 2, "padding": 1}}, True),
    "a mean of zeros too": ({"avg_pool": {"kernel": 3, "stride": 2, "padding": 1}}, False),
    "a mean over the edge": ({"avg_pool": {"kernel": 2, "stride": 2, "ceil": True}}, True),
    "more pixels": ({"max_pool": {"kernel": 2, "stride": 1, "padding": 1}}, False),
}


@pytest.mark.parametrize(("pool", "is_idle"), WINDOWS.values(), ids=WINDOWS)
def test_a_window_over_one_pixel_may_be_left_out_where_it_gives_it(
    pool: dict[str, Any], is_idle: bool
) -> None:
    """As the oracle says."""
    spec = spec_over(1, {"stem": [POINT, pool]})
    plain = spec_over(1, {})
    [op] = [op for op in spec.ops.values() if op.kind in pool]
    image = np.random.default_rng(1).normal(size=(2, 8, 1, 1))
    steps = [Step("x", "input", (), {"shape": (8, 1, 1)}), Step("y", op.kind, ("x",), op.attrs)]
    made = oracle.values(steps, {}, image)[-1]
    assert np.array_equal(made, image) == is_idle
    assert compare(spec, nameless(plain)).is_equal == is_idle
    assert compare(plain, nameless(spec)).is_equal == is_idle


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "is_whole"),
    [(8, 8, 0, True), (8, 1, 0, True), (7, 7, 0, False), (8, 8, 1, False)],
)
def test_a_mean_over_a_window_that_is_the_whole_map_is_a_global_pool(
    kernel: int, stride: int, padding: int, is_whole: bool
) -> None:
    """As a gate has it that pools by the size of what it reads."""
    spec = spec_over(8, OF_ANY_MAP["a squeeze-and-excitation"])
    window = {"kernel": kernel, "stride": stride, "padding": padding}
    file = spec
    for op in spec.ops.values():
        if op.kind in GLOBAL_POOLS and op.attrs.get("keep"):
            file = file.with_op(replace(op, kind="avg_pool", attrs=window))
    assert compare(spec, nameless(file)).is_equal == is_whole
    assert compare(file, nameless(spec)).is_equal == is_whole
    assert compare(file, nameless(file)).is_equal


# ---- files


def as_steps(graph: Graph) -> list[Step]:
    return [Step(op.name, op.kind, op.inputs, op.attrs) for op in graph.ops.values()]


def without_pools(model: Any) -> Any:
    """A model without its global pools, but for those that it gives."""
    made = onnx.ModelProto.FromString(model.SerializeToString())
    given = {output.name for output in made.graph.output}
    passed: dict[str, str] = {}
    kept = []
    for node in made.graph.node:
        for at, name in enumerate(node.input):
            node.input[at] = passed.get(name, name)
        if node.op_type in ("GlobalAveragePool", "GlobalMaxPool") and node.output[0] not in given:
            passed[node.output[0]] = node.input[0]
        else:
            kept.append(node)
    del made.graph.node[:]
    made.graph.node.extend(kept)
    return made


def read(model: Any, file: Path) -> OnnxReading:
    file.write_bytes(model.SerializeToString())
    return onnx_reading(file)


def certified(spec: Graph, reading: OnnxReading, file: Path) -> Comparison:
    found = compare(
        spec, reading.graph, zero_biases=reading.zero_biases, norms_shift=reading.norms_shift
    )
    assert lines(found) == []
    assert check_liveness(found.match, reading, file).differences == ()
    return found


@pytest.mark.parametrize("style", ["torch", "torch folded"])
@pytest.mark.parametrize("settings", ALL.values(), ids=ALL)
def test_files_without_the_pool_are_the_specs_and_are_lifted(
    settings: dict[str, Any], style: str, tmp_path: Path
) -> None:
    """Where ONNX Runtime computes the same without it;
    what is lifted of them is said of them by certify too.
    """
    spec, file = spec_over(1, settings), tmp_path / "model.onnx"
    own = replace(STYLES[style], opset=17, head="flatten", batch=2)
    whole = written(as_steps(spec), own)[0]
    bare = without_pools(whole)
    images = np.random.default_rng(1).normal(size=(2, 3, 1, 1)).astype(np.float32)
    for model in (bare, optimised(whole)):
        for made, right in zip(outputs_of(model, images), outputs_of(whole, images), strict=True):
            np.testing.assert_allclose(made, right, rtol=1e-4, atol=1e-5)
        reading = read(model, file)
        certified(spec, reading, file)
    # A join of a value with itself, which a branch that does nothing comes to, cannot be lifted.
    if settings is not OF_ONE_PIXEL["a branch"]:
        text = lift(read(bare, file).graph, "lifted", "model.onnx").text
        lifted = build_graph(validate(Spec, expand_short_forms(read_text(text, "spec.yaml"))))
        certified(lifted, read(bare, file), file)


def test_a_vector_is_no_map_of_one_pixel() -> None:
    """Of what the network gives: all before it is the same."""
    heads = [[*NORMED, VECTOR], [*NORMED, MEAN], NORMED]
    vector, mean, bare = (spec_over(1, {"head": head}) for head in heads)
    for ours, theirs in ((vector, mean), (mean, vector), (vector, bare), (bare, vector)):
        assert lines(compare(ours, nameless(theirs))) != []
    assert lines(compare(mean, nameless(bare))) == []


def test_a_pool_of_larger_maps_may_keep_its_pixel_or_not() -> None:
    """As a file that flattens behind its last convolutions is read."""
    spec = spec_over(2, {"head": [*NORMED, MEAN, POINT, "activation", VECTOR, "dense"]})

    def read_as(**settings: Any) -> Graph:
        dense = {"dense": {"width": 8, **settings}}
        return spec_over(2, {"head": [*NORMED, VECTOR, dense, "activation", "dense"]})

    whole = {"avg_pool": {"kernel": 2, "stride": 2}}
    window = spec_over(2, {"head": [*NORMED, whole, POINT, "activation", VECTOR, "dense"]})
    for each in (spec, window):
        assert lines(compare(each, nameless(read_as(bias=False)))) == []
    biased = compare(spec, nameless(read_as()))
    assert lines(biased) == ["conv has bias True, the spec says False"]


# ---- what is said of other networks


def test_another_fault_is_said_alone() -> None:
    """A file without the pool that lacks something else too; what is named exists in it."""
    spec = spec_over(1, KEPT["the mean in a layer"])
    conv2 = next(op for op in spec.ops.values() if op.kind == "conv" and "layer2" in op.name)
    changed = spec.with_op(replace(conv2, attrs={**conv2.attrs, "kernel": 5, "padding": 2}))
    expected = lines(compare(spec, nameless(changed)))
    assert len(expected) == 2
    assert lines(compare(spec, nameless(without_kept_pools(changed)))) == expected


def test_a_map_that_is_one_pixel_in_the_file_alone_does_not_cost_the_pools() -> None:
    """The input is said to be another one, not each pool to be missing."""
    settings = KEPT["a squeeze-and-excitation"]
    small, large = spec_over(1, settings), spec_over(2, settings)
    for ours, theirs in ((small, large), (large, small)):
        [line] = lines(compare(ours, nameless(theirs)))
        assert "is an image (C, H, W) of" in line
