"""Standardized filters in ONNX files, as PyTorch's two exporters write them.

cases/onnx/ws_conv_*.onnx hold one of timm's convolutions (torch.nn.functional.batch_norm over rows
of filters, in training mode), ws_conv_written_*.onnx one that takes torch.var_mean of its filters;
recorded.npz has what PyTorch gave. cases/standardized/ has a convolution of 3 to 4 channels, a
batch norm and a ReLU, exported by PyTorch 2.13 at opset 20: with timm's StdConv2d (`timm`), with
that of BiT's authors (`bit`), and with the code of Weight Standardization's authors (`authors`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import oracle
import pytest
from readers.onnx_styles import STYLES, File, Step, Style, finished, outputs_of, written
from readers.test_onnx_of_torch import FILES, FIRST, LAST, RECORDED, RELU, name_of

from archspec.certify.certify_file import certify_file
from archspec.compare.compare import Comparison, compare
from archspec.errors import ModelFileError
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph, Op
from archspec.lift.lift_file import lift_file
from archspec.readers.onnx.read import onnx_reading, read_onnx
from archspec.readers.reading import filters_in
from archspec.readers.tensors import values_of
from archspec.spec.spec import Spec

CASES = Path(__file__).parent.parent / "cases" / "standardized"
OURS = [file for file in FILES if name_of(file).startswith("ws_conv")]
NORM = ("batch_norm", {"eps": 1e-5, "channels": 4})
Known = tuple[str, Mapping[str, Any]]


def line(*known: Known, image: tuple[int, int, int] = (3, 8, 8)) -> Graph:
    """Operators one behind the other."""
    steps = [("input", {"shape": image}), *known]
    reads = [(), *((f"s{at}",) for at in range(len(steps) - 1))]
    ops = (Op(f"s{at}", kind, reads[at], attrs) for at, (kind, attrs) in enumerate(steps))
    return Graph.of("line", ops)


def conv(**attrs: Any) -> Known:
    return ("conv", {**FIRST[1], **attrs})


def standardized(eps: float = 1e-6, **attrs: Any) -> Known:
    return conv(standardized=True, weight_eps=eps, **attrs)


def compared(spec: Graph, file: Path) -> Comparison:
    reading = onnx_reading(file)
    return compare(
        spec,
        reading.graph,
        zero_biases=reading.zero_biases,
        norms_shift=reading.norms_shift,
        filters_of=filters_in(file, reading),
    )


def lines(comparison: Comparison) -> list[str]:
    return [str(difference) for difference in comparison.differences]


# ---- what PyTorch wrote


def recorded_line(file: Path, standard: bool = True) -> Graph:
    attrs: dict[str, Any] = {"in_channels": 4, "bias": True}
    attrs |= {"groups": 2} if name_of(file) == "ws_conv_written" else {}
    middle = standardized(**attrs) if standard else conv(**attrs)
    return line(FIRST, middle, RELU, LAST, image=RECORDED["x"].shape[1:])


@pytest.mark.parametrize("file", OURS, ids=lambda file: file.stem)
def test_a_file_of_torch_is_the_spec_with_standardized_filters(file: Path) -> None:
    """Computed in the file it is the spec's to the eps; stored, a note says what is untold."""
    found = compared(recorded_line(file), file)
    is_stored = file.stem.endswith("_dynamo")
    assert lines(found) == []
    assert sum("were standardized before they were stored" in note for note in found.notes) == (
        is_stored
    )
    plain = lines(compared(recorded_line(file, standard=False), file))
    assert (plain == []) == is_stored
    other = line(
        FIRST,
        standardized(1e-3, in_channels=4, bias=True, groups=recorded_groups(file)),
        RELU,
        LAST,
        image=RECORDED["x"].shape[1:],
    )
    assert (lines(compared(other, file)) == []) == is_stored


def recorded_groups(file: Path) -> int:
    return 2 if name_of(file) == "ws_conv_written" else 1


@pytest.mark.parametrize("file", OURS, ids=lambda file: file.stem)
def test_the_weights_that_are_read_give_what_pytorch_gave(file: Path) -> None:
    """By the NumPy forward, which standardizes those that the file computes with."""
    reading, weights = onnx_reading(file), dict[str, Any]()
    with values_of(file) as values:
        for name, known in reading.weights.items():
            sources = (*known.scales, *known.others)
            for role, source in zip(("weight", "bias"), sources, strict=False):
                weights[f"{name}.{role}"] = values.of(source)
    given = oracle.forward(reading.graph.ops.values(), weights, RECORDED["x"])
    assert oracle.distance(given, RECORDED[name_of(file)]) < 1e-5


@pytest.mark.parametrize(("name", "eps"), [("timm", 1e-6), ("bit", 1e-10)])
def test_what_others_wrote_is_read_where_torchscript_keeps_it(name: str, eps: float) -> None:
    bias = name == "bit"
    spec = line(standardized(eps, bias=bias), NORM, RELU)
    assert lines(compared(spec, CASES / f"{name}_torchscript.onnx")) == []
    assert "has weight_eps" in str(
        lines(
            compared(
                line(standardized(1e-3, bias=bias), NORM, RELU), CASES / f"{name}_torchscript.onnx"
            )
        )
    )


def test_another_way_to_standardize_is_refused_in_words() -> None:
    """Weight Standardization's own code divides by an unbiased deviation + 1e-5."""
    with pytest.raises(ModelFileError) as refused:
        read_onnx(CASES / "authors_torchscript.onnx")
    (fault,) = refused.value.diagnostics
    assert fault.code == "R008"
    assert "divides its filters by their unbiased deviation + 1e-05" in fault.message
    assert "standardized: true divides them by the root of their variance + weight_eps" in (
        fault.message
    )


@pytest.mark.parametrize("name", ["timm", "bit", "authors"])
def test_filters_that_dynamo_stored_with_a_norm_in_them_are_accepted_with_a_note(name: str) -> None:
    """Which weights they were made of, and how, the file does not tell."""
    file = CASES / f"{name}_dynamo.onnx"
    bias = name != "timm"
    found = compared(line(standardized(bias=bias), NORM, RELU), file)
    assert lines(found) == []
    assert any("by which deviation and with which weight_eps" in note for note in found.notes)
    assert lines(compared(line(conv(bias=bias), NORM, RELU), file)) == []


# ---- all styles, and files that are nearly the same

IMAGES = np.random.default_rng(5).normal(size=(2, 4, 6, 6)).astype(np.float32)
CONV = {"out_channels": 6, "kernel": 3, "stride": 1, "padding": 1, "groups": 2, "in_channels": 4}
EPS = {"standardized": True, "weight_eps": 0.01}


def network(is_standardized: bool = True, norm: bool = True) -> list[Step]:
    attrs = {**CONV, **(EPS if is_standardized else {})}
    steps = [Step("x", "input", (), {"shape": (4, 6, 6)}), Step("c", "conv", ("x",), attrs)]
    behind = ("batch_norm", {"eps": 1e-5, "channels": 6}) if norm else ("relu", {})
    return [*steps, Step("n", behind[0], ("c",), behind[1])]


def graph_of(steps: list[Step]) -> Graph:
    return Graph.of("made", [Op(*step) for step in steps])


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("style", STYLES)
def test_in_every_style_it_is_told_from_plain_filters(
    style: str, norm: bool, tmp_path: Path
) -> None:
    """Of files whose outputs are the NumPy forward's."""
    file = tmp_path / "model.onnx"
    for is_standardized in (True, False):
        steps = network(is_standardized, norm)
        model, weights = written(steps, STYLES[style])
        file.write_bytes(model.SerializeToString())
        right = oracle.forward([Op(*step) for step in steps], weights, IMAGES)
        images = IMAGES[:1].repeat(model.graph.input[0].type.tensor_type.shape.dim[0].dim_value, 0)
        (made,) = outputs_of(model, images if len(images) else IMAGES)
        assert oracle.distance(made[:1], right[:1]) < 1e-5
        assert lines(compared(graph_of(steps), file)) == []
        other = lines(compared(graph_of(network(not is_standardized, norm)), file))
        is_stored = STYLES[style].filters == "stored" and is_standardized
        assert (other == []) == is_stored


TRAINING: Mapping[str, Any] = {"training_mode": 1, "momentum": 1.0, "more": 2}
Change = Callable[[File, str, Any], str]


def made_of(write: Change, opset: int = 17, shape: tuple[int, int, int, int] = (6, 4, 3, 3)) -> Any:
    """A convolution with filters that a function writes, of a weight of its dims."""
    file = File(Style(opset=opset))
    weight = file.constant(file.draw("c.weight", shape), "c.weight")
    made = file.node("Conv", "x", write(file, weight, shape), pads=[1] * 4)
    return finished(file, "x", ("N", shape[1], 6, 6), made)


def mean(file: File, x: str, *axes: int) -> str:
    return file.node("ReduceMean", x, axes=axes or [1, 2, 3], keepdims=1)


def divided(
    file: File, weight: str, *, over: tuple[int, ...] = (), outside: bool = False, plus: Any = 0.01
) -> str:
    centred = file.node("Sub", weight, mean(file, weight, *over))
    variance = mean(file, file.node("Mul", centred, centred), *over)
    if plus is None:
        return file.node("Div", centred, file.node("Sqrt", variance))
    eps = file.constant(plus)
    if outside:
        root = file.node("Add", file.node("Sqrt", variance), eps)
    else:
        root = file.node("Sqrt", file.node("Add", variance, eps))
    return file.node("Div", centred, root)


def normed(file: File, weight: str, shape: Any, *, rows: Any, scale: Any = 1.0, **mode: Any) -> str:
    x = file.node("Reshape", weight, file.sizes(*rows))
    channels = rows[1]
    ones, zeros = file.constant([scale] * channels), file.constant([0] * channels)
    made = file.node("BatchNormalization", x, ones, zeros, ones, ones, epsilon=0.01, **mode)
    return file.node("Reshape", made, file.sizes(*shape))


def of_another_weight(file: File, weight: str, shape: Any) -> str:
    other = file.constant(file.draw("other.weight", shape), "other.weight")
    return file.node("Sub", weight, mean(file, other))


def by_step(file: File, weight: str, shape: Any) -> str:
    """A mean of means, a power, and a product with a reciprocal: the same function."""
    average = mean(file, mean(file, mean(file, weight, 1), 3), 2)
    centred = file.node("Sub", weight, average)
    variance = mean(file, file.node("Pow", centred, file.constant(2.0)))
    root = file.node("Sqrt", file.node("Add", variance, file.constant(0.01)))
    return file.node("Mul", file.node("Reciprocal", root), centred)


def through_a_transpose(file: File, weight: str, shape: Any) -> str:
    """Rows that are turned to columns: the same function."""
    centred = file.node("Sub", weight, mean(file, weight))
    rows = file.node("Reshape", centred, file.sizes(1, 6, -1))
    columns = file.node("Transpose", rows, perm=[0, 2, 1])
    variance = mean(file, file.node("Mul", columns, columns), 0, 1)
    each = file.node("Reshape", file.node("Transpose", variance, perm=[2, 0, 1]), file.sizes(6, 1))
    root = file.node("Sqrt", file.node("Add", each, file.constant(0.01)))
    return file.node("Div", centred, file.node("Reshape", root, file.sizes(6, 1, 1, 1)))


ALIKE: Mapping[str, Change] = {
    "written": lambda file, weight, shape: divided(file, weight),
    "by step": by_step,
    "through a transpose": through_a_transpose,
    "a batch norm of rows": lambda file, weight, shape: normed(
        file, weight, shape, rows=(1, 6, 36), **TRAINING
    ),
}
OTHERS: Mapping[str, Change] = {
    "no mean taken away": lambda file, weight, shape: file.node("Div", weight, mean(file, weight)),
    "no variance": lambda file, weight, shape: file.node("Sub", weight, mean(file, weight)),
    "eps outside": lambda file, weight, shape: divided(file, weight, outside=True),
    "no eps": lambda file, weight, shape: divided(file, weight, plus=None),
    "another momentum": lambda file, weight, shape: normed(
        file, weight, shape, rows=(1, 6, 36), **{**TRAINING, "momentum": 0.9}
    ),
    "an eps for each filter": lambda file, weight, shape: divided(
        file, weight, plus=np.linspace(0.01, 0.1, 6).reshape(6, 1, 1, 1)
    ),
    "over pixels alone": lambda file, weight, shape: divided(file, weight, over=(2, 3)),
    "over all filters": lambda file, weight, shape: divided(file, weight, over=(0, 1, 2, 3)),
    "over filters": lambda file, weight, shape: divided(file, weight, over=(0, 2, 3)),
    "of another weight": of_another_weight,
    "of several filters": lambda file, weight, shape: normed(
        file, weight, shape, rows=(1, 3, 72), **TRAINING
    ),
    "of half a filter": lambda file, weight, shape: normed(
        file, weight, shape, rows=(1, 12, 18), **TRAINING
    ),
    "multiplied": lambda file, weight, shape: normed(
        file, weight, shape, rows=(1, 6, 36), scale=0.5, **TRAINING
    ),
    "by kept statistics": lambda file, weight, shape: normed(file, weight, shape, rows=(1, 6, 36)),
    "a sum": lambda file, weight, shape: file.node(
        "Sub", weight, file.node("ReduceSum", weight, file.sizes(1, 2, 3), keepdims=1)
    ),
}


def right_for(write: Change) -> tuple[Any, Any]:
    """What ONNX Runtime gives, and the NumPy forward of the spec."""
    model = made_of(write)
    weight = next(each for each in model.graph.initializer if each.name == "c.weight")
    weights = {"c.weight": onnx.numpy_helper.to_array(weight)}
    steps = [
        Step("x", "input", (), {"shape": (4, 6, 6)}),
        Step("c", "conv", ("x",), {**CONV, **EPS, "groups": 1}),
    ]
    return outputs_of(model, IMAGES)[0], oracle.forward(
        [Op(*step) for step in steps], weights, IMAGES
    )


SPEC = line(("conv", {**CONV, **EPS, "groups": 1}), image=(4, 6, 6))
PLAIN = line(("conv", {**CONV, "groups": 1}), image=(4, 6, 6))


@pytest.mark.parametrize("name", ALIKE)
def test_other_ways_to_compute_the_same_are_read(name: str, tmp_path: Path) -> None:
    made, right = right_for(ALIKE[name])
    assert oracle.distance(made, right) < 1e-5
    file = tmp_path / "model.onnx"
    file.write_bytes(made_of(ALIKE[name]).SerializeToString())
    assert lines(compared(SPEC, file)) == []
    assert lines(compared(PLAIN, file)) != []


def test_an_eps_of_zero_is_none_that_a_spec_can_say(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(made_of(lambda file, w, shape: divided(file, w, plus=0.0)).SerializeToString())
    assert "has weight_eps 0.0, the spec says 0.01" in str(lines(compared(SPEC, file)))


@pytest.mark.parametrize("name", OTHERS)
def test_filters_that_are_computed_otherwise_are_refused(name: str, tmp_path: Path) -> None:
    made, right = right_for(OTHERS[name])
    assert oracle.distance(made, right) > 1e-4
    file = tmp_path / "model.onnx"
    file.write_bytes(made_of(OTHERS[name]).SerializeToString())
    with pytest.raises(ModelFileError) as refused:
        read_onnx(file)
    assert {fault.code for fault in refused.value.diagnostics} == {"R008"}


def less_a_part(file: File, weight: str, shape: Any) -> str:
    """A mean over the channels alone, whose pixels a reshape then passes off as channels."""
    part = file.node("Reshape", mean(file, weight, 1), file.sizes(6, 9, 1, 1))
    centred = file.node("Sub", weight, mean(file, part, 2, 3))
    variance = mean(file, file.node("Mul", centred, centred))
    root = file.node("Sqrt", file.node("Add", variance, file.constant(0.01)))
    return file.node("Div", centred, root)


def in_another_order(file: File, weight: str, shape: Any) -> str:
    """Values of each filter that a transpose has moved, in the shape that they had."""
    centred = file.node("Sub", weight, mean(file, weight))
    moved = file.node("Transpose", centred, perm=[0, 2, 3, 1])
    return divided(file, file.node("Reshape", moved, file.sizes(*shape)))


@pytest.mark.parametrize("write", [less_a_part, in_another_order])
def test_a_new_shape_does_not_make_other_values_those_of_a_filter(
    write: Change, tmp_path: Path
) -> None:
    """ONNX Runtime runs it, and gives something else than standardized filters do."""
    model = made_of(write, shape=(6, 9, 3, 3))
    images = np.random.default_rng(0).standard_normal((2, 9, 6, 6)).astype(np.float32)
    right = made_of(lambda file, w, shape: divided(file, w), shape=(6, 9, 3, 3))
    made = outputs_of(model, images)[0]
    assert oracle.distance(made, outputs_of(right, images)[0]) > 1e-3
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelFileError, match="R008"):
        read_onnx(tmp_path / "model.onnx")


@pytest.mark.parametrize("eps", [1e-6, 1e-5, 0.01, 1.0])
def test_an_eps_in_half_precision_is_the_decimal_that_was_meant(eps: float, tmp_path: Path) -> None:
    """1e-06 is stored as 1.013e-06 there."""
    model = made_of(lambda file, w, shape: divided(file, w, plus=eps))
    for each in model.graph.initializer:
        if each.data_type == onnx.TensorProto.FLOAT:
            half = onnx.numpy_helper.to_array(each).astype(np.float16)
            each.CopyFrom(onnx.numpy_helper.from_array(half, each.name))
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    spec = line(("conv", {**CONV, **EPS, "groups": 1, "weight_eps": eps}), image=(4, 6, 6))
    assert lines(compared(spec, tmp_path / "model.onnx")) == []


def test_a_tower_of_products_of_filters_ends(tmp_path: Path) -> None:
    """Each reads the one before twice, so that written out they would be 2^200."""

    def tower(file: File, weight: str, shape: Any) -> str:
        ends = [file.node("Sub", weight, mean(file, weight)) for _ in range(2)]
        for _ in range(200):
            ends = [file.node("Mul", end, end) for end in ends]
        return file.node("Sub", *ends)

    file = tmp_path / "model.onnx"
    file.write_bytes(made_of(tower).SerializeToString())
    with pytest.raises(ModelFileError, match="computed in another way than is known here"):
        read_onnx(file)


# ---- what users see

VALUES: Mapping[str, Any] = {
    "growth_rate": 4,
    "blocks": [{"layers": 2}],
    "stem": {"steps": [{"conv": {"width": 8, "kernel": 3, "standardized": True}}]},
    "layer": ["norm", "activation", {"conv": {"width": "k", "kernel": 3, "standardized": True}}],
    "input": {"height": 8, "width": 8},
    "head": {"num_classes": 3},
}


@pytest.fixture
def spec() -> Spec:
    return Spec.model_validate(VALUES)


def saved(spec: Spec, style: str, file: Path) -> None:
    steps = [Step(op.name, op.kind, op.inputs, op.attrs) for op in build_graph(spec).ops.values()]
    file.write_bytes(written(steps, STYLES[style])[0].SerializeToString())


@pytest.mark.parametrize("style", ["torch", "running", "mindcv"])
def test_a_computed_one_is_certified_probed_and_lifted(
    style: str, spec: Spec, tmp_path: Path
) -> None:
    file = tmp_path / "model.onnx"
    saved(spec, style, file)
    certificate = certify_file(file, spec, probe=True)
    assert certificate.is_equal
    assert certificate.probe
    assert "standardized: true" in lift_file(file).text
    (tmp_path / "lifted.yaml").write_text(lift_file(file).text, encoding="utf-8")
    assert certify_file(file, tmp_path / "lifted.yaml").is_equal


@pytest.mark.parametrize("style", ["torch folded", "all convolutions"])
def test_a_stored_one_is_certified_with_a_note_and_lifts_to_a_plain_convolution(
    style: str, spec: Spec, tmp_path: Path
) -> None:
    file = tmp_path / "model.onnx"
    saved(spec, style, file)
    certificate = certify_file(file, spec)
    assert certificate.is_equal
    assert sum("standardized before they were stored" in note for note in certificate.notes) == 1
    assert "standardized" not in lift_file(file).text


@pytest.mark.parametrize("kind", ["ReduceMean", "ReduceSum", "BatchNormalization"])
@pytest.mark.parametrize("inputs", [[], [""]])
def test_a_node_that_reads_nothing_is_refused(kind: str, inputs: list[str], tmp_path: Path) -> None:
    """What begins to compute filters may lack them; what reads it is named by its fault."""
    image = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 8, 8])
    nodes = [
        onnx.helper.make_node(kind, inputs, ["w"], name="empty"),
        onnx.helper.make_node("Conv", ["x", "w"], ["y"]),
    ]
    end = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    graph = onnx.helper.make_graph(nodes, "g", [image], [end])
    file = tmp_path / "model.onnx"
    file.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    with pytest.raises(ModelFileError, match=f"R008 empty: {kind} is no operator of a dense"):
        read_onnx(file)
