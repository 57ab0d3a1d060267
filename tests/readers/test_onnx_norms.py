"""Norms and biases that a file writes as a scale and a shift:
several in a row, and of a single channel.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from readers.onnx_styles import File, Step, Style, finished, optimised, run, written

from archspec.compare.compare import compare
from archspec.errors import ModelFileError
from archspec.graph.ir import Graph, Op
from archspec.readers.onnx.read import read_onnx

SHAPE = (4, 6, 5)
IMAGES = np.random.default_rng(5).normal(size=(2, *SHAPE)).astype(np.float32)
BATCH = ("batch_norm", {"channels": 4, "eps": 1e-5})
GROUP = ("group_norm", {"channels": 4, "groups": 2, "eps": 1e-5})
LAYER = ("layer_norm", {"channels": 4, "eps": 1e-5})
POINT = {"in_channels": 4, "kernel": 1, "stride": 1, "padding": 0}
TO_ONE = ("conv", {**POINT, "out_channels": 1})
OF_ONE = ("batch_norm", {"channels": 1, "eps": 1e-5})


def read(model: Any, folder: Path) -> Graph:
    file = folder / "model.onnx"
    file.write_bytes(model.SerializeToString())
    return read_onnx(file)


@pytest.mark.parametrize(
    "forms",
    [
        [BATCH, BATCH],
        [BATCH, BATCH, BATCH, ("relu", {}), BATCH],
        [GROUP, BATCH],
        [LAYER, BATCH, BATCH],
        [("conv", {**POINT, "out_channels": 4, "bias": True}), BATCH, BATCH],
        [TO_ONE, OF_ONE, ("relu", {})],
        [TO_ONE, OF_ONE, OF_ONE, ("gelu", {}), OF_ONE],
        [("global_avg_pool", {}), ("dense", {"in_channels": 4, "out_channels": 1})],
    ],
)
def test_each_norm_and_bias_is_one(forms: list[tuple[str, Any]], tmp_path: Path) -> None:
    """As many norms as were written; a constant of one channel is no number."""
    steps = [Step("x", "input", (), {"shape": SHAPE})]
    for at, (kind, attrs) in enumerate(forms):
        steps.append(Step(f"s{at}", kind, (steps[-1].name,), attrs))
    model, weights = written(steps, Style(norm="affine", classifier="matmul", batch=2))
    assert oracle.distance(run(model, IMAGES), oracle.forward(steps, weights, IMAGES)) < 1e-5
    compared = compare(Graph.of("spec", [Op(*step) for step in steps]), read(model, tmp_path))
    assert [each.message for each in compared.differences] == []


@pytest.mark.parametrize("norms", [[GROUP, GROUP], [GROUP, GROUP, GROUP], [GROUP, GROUP, None]])
def test_norms_that_share_what_has_no_weights_are_told_apart(
    norms: list[tuple[str, Any] | None], tmp_path: Path
) -> None:
    """An optimiser norms a value once, where a gamma and a beta of their own, or a gate, follow."""
    steps = [Step("x", "input", (), {"shape": SHAPE})]
    ends = []
    for at, norm in enumerate(norms):
        kind, attrs = norm or ("sigmoid", {})
        steps.append(Step(f"n{at}", kind, ("x",), attrs))
        steps.append(Step(f"a{at}", "relu", (f"n{at}",), {}))
        ends.append(f"a{at}")
    steps.append(Step("join", "concat", tuple(ends), {}))
    model, weights = written(steps, Style(batch=2))
    merged = optimised(model)
    assert kinds_of(merged)["InstanceNormalization"] == 1
    assert oracle.distance(run(merged, IMAGES), oracle.forward(steps, weights, IMAGES)) < 1e-5
    compared = compare(Graph.of("spec", [Op(*step) for step in steps]), read(merged, tmp_path))
    assert [each.message for each in compared.differences] == []


def kinds_of(model: Any) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def as_it_is_too(file: File, x: str) -> str:
    """A norm whose output is read as it is, and scaled and shifted again."""
    plain = normed(file, x, np.ones(4), np.zeros(4))
    return file.node("Add", plain, file.node("Relu", affine(file, plain)))


def twice_apart(file: File, x: str) -> str:
    plain = normed(file, x, np.ones(4), np.zeros(4))
    return file.node("Add", affine(file, plain), file.node("Relu", affine(file, plain)))


@pytest.mark.parametrize("form", [as_it_is_too, twice_apart])
def test_a_norm_that_several_read_is_one_for_each_way_to_go_on(
    form: Callable[[File, str], str], tmp_path: Path
) -> None:
    file = File(Style(opset=17))
    model = finished(file, "x", (2, *SHAPE), file.node("Relu", form(file, "x")))
    run(model, IMAGES)
    ops = read(model, tmp_path).ops
    norms = [op for op in ops.values() if op.kind == "batch_norm"]
    assert [ops[norm.inputs[0]].kind for norm in norms] == ["input", "input"]


def normed(file: File, x: str, gamma: Any, beta: Any) -> str:
    """A norm as a node, with a mean and a variance that say something."""
    weights = (gamma, beta, drawn(4), np.abs(drawn(4)) + 0.5)
    return file.node("BatchNormalization", x, *map(file.constant, weights), epsilon=1e-5)


def drawn(*shape: int) -> Any:
    return np.random.default_rng(6).normal(size=shape)


def affine(file: File, x: str) -> str:
    scale, shift = (file.constant(drawn(4, 1, 1)) for _ in range(2))
    return file.node("Add", file.node("Mul", x, scale), shift)


def by_parts(file: File, x: str) -> str:
    mean, root = (file.constant(drawn(1, 4, 1, 1) + 9) for _ in range(2))
    return affine(file, file.node("Div", file.node("Sub", x, mean), root))


def as_caffe_writes_it(file: File, x: str) -> str:
    return affine(file, normed(file, x, np.ones(4), np.zeros(4)))


def trained(file: File, x: str) -> str:
    return normed(file, x, drawn(4), drawn(4))


@pytest.mark.parametrize(
    ("forms", "norms"),
    [
        ([by_parts], 1),
        ([by_parts, by_parts], 2),
        ([affine, by_parts], 2),
        ([as_caffe_writes_it], 1),
        ([as_caffe_writes_it, affine], 2),
        ([as_caffe_writes_it, as_caffe_writes_it], 2),
        ([trained, affine], 2),
        ([affine, trained, as_caffe_writes_it], 3),
    ],
)
def test_norms_in_a_row_are_parted(
    forms: list[Callable[[File, str], str]], norms: int, tmp_path: Path
) -> None:
    """A shift comes last: what scales behind it is the next norm's,
    in whichever nodes they are written.
    """
    file, x = File(Style(opset=17)), "x"
    for form in forms:
        x = form(file, x)
    model = finished(file, "x", (2, *SHAPE), file.node("Relu", x))
    run(model, IMAGES)
    made = [op.kind for op in read(model, tmp_path).ops.values()]
    assert made == ["input", *["batch_norm"] * norms, "relu"]


@pytest.mark.parametrize("kernel", [3, 5])
def test_a_norm_may_be_in_the_filters_of_a_blur(kernel: int, tmp_path: Path) -> None:
    """As ONNX Runtime's optimiser puts it there: the filters are multiples of the binomial one."""
    blur = ("blur_pool", {"kernel": kernel, "stride": 2, "padding": kernel // 2})
    steps = [Step("x", "input", (), {"shape": SHAPE})]
    for at, (kind, attrs) in enumerate([blur, BATCH]):
        steps.append(Step(f"s{at}", kind, (steps[-1].name,), attrs))
    model = optimised(written(steps, Style(opset=17, batch=2))[0])
    assert [node.op_type for node in model.graph.node] == ["Pad", "Conv"]
    compared = compare(Graph.of("spec", [Op(*step) for step in steps]), read(model, tmp_path))
    assert [each.message for each in compared.differences] == []


BLUR = ("blur_pool", {"kernel": 3, "stride": 1, "padding": 1})
CONV = ("conv", {"in_channels": 4, "out_channels": 4, "kernel": 3, "stride": 1, "padding": 1})
PLAIN = {"dilation": 1, "groups": 1, "bias": False}
SEVERAL = {
    "two": [[BLUR, BATCH, BATCH]],
    "three, and two more behind an activation": [
        [BLUR, BATCH, BATCH, BATCH, ("relu", {}), BLUR, BATCH, BATCH]
    ],
    "branches that differ in the number": [
        [BLUR, BATCH, BATCH, BATCH],
        [BLUR, BATCH],
        [BLUR, BATCH, BATCH, ("relu", {})],
        [BLUR],
    ],
    "branches of convolutions and blurs": [
        [CONV, BATCH, BATCH, ("relu", {}), BLUR, BATCH, BATCH],
        [BLUR, BATCH, BLUR, BATCH, BATCH],
        [BLUR, BATCH, BATCH, CONV, BATCH],
    ],
}


def branching(branches: list[list[tuple[str, Any]]]) -> list[Step]:
    """Steps in a row for each branch, all of one input, which are joined and read by a norm."""
    steps, ends = [Step("x", "input", (), {"shape": SHAPE})], []
    for number, forms in enumerate(branches):
        source = "x"
        for at, (kind, attrs) in enumerate(forms):
            own = {**attrs, **PLAIN} if kind == "conv" else attrs
            steps.append(Step(f"b{number}s{at}", kind, (source,), own))
            source = steps[-1].name
        ends.append(source)
    return [*steps, Step("join", "concat", tuple(ends), {}), Step("end", "relu", ("join",), {})]


def spec_as(steps: list[Step]) -> Graph:
    return Graph.of("spec", [Op(*step) for step in steps])


@pytest.mark.parametrize("branches", SEVERAL.values(), ids=SEVERAL)
def test_several_norms_may_be_in_the_filters_of_a_blur(
    branches: list[list[tuple[str, Any]]], tmp_path: Path
) -> None:
    """However many, they are one scale there: the spec tells their number, branch by branch."""
    steps = branching(branches)
    model, weights = written(steps, Style(opset=17, batch=2))
    merged = optimised(model)
    assert kinds_of(merged)["BatchNormalization"] == 0
    assert oracle.distance(run(merged, IMAGES), oracle.forward(steps, weights, IMAGES)) < 1e-5
    compared = compare(spec_as(steps), read(merged, tmp_path), ordered=True)
    assert [each.message for each in compared.differences] == []
    assert any("eps is not compared there" in note for note in compared.notes)


@pytest.mark.parametrize(
    ("file", "spec"),
    [
        ([BLUR], [BLUR, BATCH, BATCH]),
        ([BLUR, BATCH], [BLUR]),
        ([BLUR, BATCH, ("relu", {})], [BLUR, BATCH, ("relu", {}), BATCH]),
        ([BLUR, ("relu", {}), BATCH], [BLUR, ("relu", {}), BATCH, BATCH]),
        ([("max_pool", BLUR[1]), BATCH], [BLUR, BATCH, BATCH]),
    ],
)
def test_norms_that_no_filters_hold_are_missed(
    file: list[tuple[str, Any]], spec: list[tuple[str, Any]], tmp_path: Path
) -> None:
    """Those behind a blur that does not scale, or behind something else."""
    model = optimised(written(branching([file]), Style(opset=17, batch=2))[0])
    assert not compare(spec_as(branching([spec])), read(model, tmp_path)).is_equal


def test_a_norm_in_a_node_of_its_own_behind_a_blur_is_one(tmp_path: Path) -> None:
    """It has an eps, so nothing was folded."""
    model = written(branching([[BLUR, BATCH]]), Style(opset=17, batch=2))[0]
    spec = spec_as(branching([[BLUR, BATCH, BATCH]]))
    assert not compare(spec, read(model, tmp_path)).is_equal


def blurred(file: File, scales: Any, filters: Any) -> str:
    x = file.node("Pad", "x", file.sizes(*[0, 0, 1, 1] * 2), mode="reflect")
    weights = np.asarray(scales)[:, None, None, None] * filters
    return file.node("Conv", x, file.constant(weights), group=4, strides=[2, 2])


BINOMIAL = np.outer([1, 2, 1], [1, 2, 1]) / 16


def test_a_blur_that_scales_is_no_blur_alone(tmp_path: Path) -> None:
    file = File(Style(opset=17))
    model = finished(file, "x", (2, *SHAPE), blurred(file, [1, 1, 2, 1], BINOMIAL))
    kinds = [op.kind for op in read(model, tmp_path).ops.values()]
    assert kinds == ["input", "blur_pool", "batch_norm"]


@pytest.mark.parametrize("filters", [np.ones((3, 3)) / 9, BINOMIAL - np.eye(3) / 64])
def test_other_filters_of_mirrored_edges_are_refused(filters: Any, tmp_path: Path) -> None:
    file = File(Style(opset=17))
    model = finished(file, "x", (2, *SHAPE), blurred(file, [1, 1, 2, 1], filters))
    with pytest.raises(ModelFileError, match="binomial"):
        read(model, tmp_path)


def test_a_scale_that_others_read_is_no_part_of_the_norm_behind_it(tmp_path: Path) -> None:
    """Of a layer's input, which the next layer reads too; else it may be the norm's own."""
    for others, kinds in ((True, ["scale", "batch_norm", "add"]), (False, ["batch_norm"])):
        file = File(Style(opset=17))
        scaled = file.node("Mul", "x", file.constant(drawn(4, 1, 1)))
        end = affine(file, scaled)
        end = file.node("Add", end, scaled) if others else end
        model = finished(file, "x", (2, *SHAPE), end)
        assert [op.kind for op in read(model, tmp_path).ops.values()] == ["input", *kinds]


def test_a_norm_before_training_does_not_take_the_scale_behind_it(tmp_path: Path) -> None:
    """Its ones and zeros are Caffe's where a shift follows."""
    file = File(Style(opset=17))
    normal = normed(file, "x", np.ones(4), np.zeros(4))
    model = finished(
        file, "x", (2, *SHAPE), file.node("Mul", normal, file.constant(drawn(4, 1, 1)))
    )
    kinds = [op.kind for op in read(model, tmp_path).ops.values()]
    assert kinds == ["input", "batch_norm", "scale"]
