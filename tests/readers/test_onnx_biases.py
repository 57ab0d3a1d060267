"""Biases of zeros that an exporter leaves out, and norms that it folds without a trace."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from readers.onnx_styles import STYLES, Array, Step, Style, densenet, run, written

from archspec.compare.compare import Comparison, compare
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph, Op
from archspec.readers.onnx.read import onnx_reading, read_onnx
from archspec.spec.load import load_spec

SPEC = build_graph(load_spec("densenetbc_digits"))
STEPS = densenet([4, 4], 12, (1, 8, 8), 10, imagenet=False)
DYNAMO = replace(STYLES["torch folded"], drops_zeros=True, batch="batch", opset=18)
"""PyTorch's default exporter."""
SECOND = "features.denseblock1.denselayer2"
TRACELESS = (
    "8 batch norms are folded into a convolution that has no bias in the file: eps is not compared "
    "there, and a norm that shifts by zero is not told from none"
)
FOLDED = "8 batch norms are folded into the convolution before: eps is not compared there"
NO_BIAS = "classifier has no bias in the file: it counts as one of zeros"


def fresh(steps: list[Step]) -> dict[str, Array]:
    """Weights before training: nothing shifts."""
    weights = written(steps, DYNAMO)[1]
    return {
        name: np.zeros_like(value)
        for name, value in weights.items()
        if name.endswith((".beta", ".moving_mean", ".bias"))
    }


def compared(
    folder: Path, steps: list[Step], weights: dict[str, Array] | None = None, **others: Any
) -> Comparison:
    file = folder / "model.onnx"
    file.write_bytes(written(steps, replace(DYNAMO, **others), weights)[0].SerializeToString())
    reading = onnx_reading(file)
    return compare(
        SPEC, reading.graph, zero_biases=reading.zero_biases, norms_shift=reading.norms_shift
    )


def lines(comparison: Comparison) -> list[str]:
    return [difference.message for difference in comparison.differences]


def lacking(*names: str) -> list[Step]:
    """The network without these steps, each of which reads one other."""
    steps = list(STEPS)
    for name in names:
        gone = next(step for step in steps if step.name == name)
        steps = [
            step._replace(inputs=tuple(gone.inputs[0] if x == name else x for x in step.inputs))
            for step in steps
            if step.name != name
        ]
    return steps


def test_a_network_that_was_never_trained_is_not_accused(tmp_path: Path) -> None:
    """Its file has no bias at all, and is the spec's network; the notes say what is seen."""
    weights = fresh(STEPS)
    model, drawn = written(STEPS, DYNAMO, weights)
    assert not any("bias" in tensor.name for tensor in model.graph.initializer)
    images = np.random.default_rng(1).normal(size=(2, 1, 8, 8)).astype(np.float32)
    right = oracle.forward(SPEC.ops.values(), drawn, images)
    assert oracle.distance(run(model, images), right) < 1e-5
    comparison = compared(tmp_path, STEPS, weights)
    assert lines(comparison) == []
    assert comparison.notes == (TRACELESS, NO_BIAS)


def test_an_exporter_that_keeps_biases_of_zeros_is_not_accused(tmp_path: Path) -> None:
    """PyTorch's older one: they are the folded norms', and the classifier's own."""
    comparison = compared(tmp_path, STEPS, fresh(STEPS), drops_zeros=False)
    assert lines(comparison) == []
    assert comparison.notes == (FOLDED,)


def test_a_trained_network_has_the_notes_that_it_had(tmp_path: Path) -> None:
    comparison = compared(tmp_path, STEPS)
    assert lines(comparison) == []
    assert comparison.notes == (FOLDED,)


def test_a_bias_of_zeros_is_left_out_by_itself(tmp_path: Path) -> None:
    """Of the classifier alone; of no other network is it said."""
    comparison = compared(tmp_path, STEPS, {"classifier.bias": np.zeros(10, np.float32)})
    assert lines(comparison) == []
    assert comparison.notes[1:] == (NO_BIAS,)
    file = tmp_path / "model.onnx"
    assert lines(compare(SPEC, read_onnx(file))) == [
        "classifier has bias False, the spec says True"
    ]


NORMLESS = (
    "batch_norm, relu, conv, relu, conv; "
    "the spec says batch_norm, relu, conv, batch_norm, relu, conv"
)


@pytest.mark.parametrize("norm", ["batch_norm", "folded", "affine"])
def test_a_norm_that_is_missing_beside_others_is_missed(norm: str, tmp_path: Path) -> None:
    """Whether the others stand in the file or left their biases: what folds norms folds all."""
    comparison = compared(tmp_path, lacking(f"{SECOND}.norm2"), norm=norm)
    assert lines(comparison) == [f"block 1, layer 2 consists of {NORMLESS}"]


@pytest.mark.parametrize("norm", ["batch_norm", "affine"])
def test_in_a_file_of_norms_none_is_folded_without_a_trace(norm: str, tmp_path: Path) -> None:
    """Untrained as it is."""
    steps = lacking(f"{SECOND}.norm2")
    comparison = compared(tmp_path, steps, fresh(steps), norm=norm)
    assert lines(comparison) == [f"block 1, layer 2 consists of {NORMLESS}"]


def basic() -> list[Step]:
    """Norms stand behind joins but for the stem's."""
    conv = {"in_channels": 4, "out_channels": 4, "kernel": 3, "stride": 1, "padding": 1}
    return [
        Step("x", "input", (), {"shape": (4, 8, 8)}),
        Step("conv0", "conv", ("x",), conv),
        Step("norm0", "batch_norm", ("conv0",), {"channels": 4, "eps": 1e-5}),
        Step("relu0", "relu", ("norm0",), {}),
        Step("norm1", "batch_norm", ("relu0",), {"channels": 4, "eps": 1e-5}),
        Step("relu1", "relu", ("norm1",), {}),
        Step("conv1", "conv", ("relu1",), conv),
    ]


@pytest.mark.parametrize("is_trained", [True, False])
@pytest.mark.parametrize("norm", ["batch_norm", "affine"])
def test_the_only_norm_behind_a_convolution_is_missed_where_others_shift(
    norm: str, is_trained: bool, tmp_path: Path
) -> None:
    """As it was before training nothing tells that it was folded; the note says so."""
    steps = basic()
    lacking = [*steps[:2], steps[3]._replace(inputs=("conv0",)), *steps[4:]]
    weights = {} if is_trained else fresh(steps)
    file = tmp_path / "model.onnx"
    file.write_bytes(written(lacking, Style(norm=norm), weights)[0].SerializeToString())
    spec = Graph.of("spec", [Op(*step) for step in steps])
    reading = onnx_reading(file)
    comparison = compare(
        spec, reading.graph, zero_biases=reading.zero_biases, norms_shift=reading.norms_shift
    )
    assert comparison.is_equal is not is_trained
    assert reading.norms_shift is is_trained


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (f"{SECOND}.norm1", "block 1, layer 2 consists of relu, conv, batch_norm, relu, conv; "),
        ("features.norm5", "the head consists of relu, global_avg_pool, dense; "),
        ("features.transition1.norm", "transition 1 consists of relu, conv, avg_pool; "),
    ],
)
def test_a_norm_that_no_convolution_could_hold_is_missed(
    name: str, expected: str, tmp_path: Path
) -> None:
    """It stands behind a join."""
    steps = lacking(name)
    for weights in (None, fresh(steps)):
        (line,) = lines(compared(tmp_path, steps, weights))
        assert line.startswith(expected)


@pytest.mark.parametrize("norm", ["batch_norm", "folded", "affine"])
def test_a_bias_of_zeros_that_the_spec_does_not_have_counts_as_none(
    norm: str, tmp_path: Path
) -> None:
    """Of a convolution; one value that is not zero is a difference."""
    name = f"{SECOND}.conv2"
    steps = [
        step._replace(attrs={**step.attrs, "bias": True}) if step.name == name else step
        for step in STEPS
    ]
    zeros = np.zeros(12, np.float32)
    written_out = {"norm": norm, "drops_zeros": False}
    comparison = compared(tmp_path, steps, {f"{name}.bias": zeros}, **written_out)
    assert lines(comparison) == []
    assert comparison.notes[-1] == (
        f"{name} has a bias of zeros in the file and none in the spec: it counts as none"
    )
    zeros[5] = 1e-30
    comparison = compared(tmp_path, steps, {f"{name}.bias": zeros}, **written_out)
    assert lines(comparison) == [f"{name} has bias True, the spec says False"]


def test_a_bias_that_no_norm_explains_is_a_difference(tmp_path: Path) -> None:
    """The spec has none there, and nothing behind it to fold."""
    name = f"{SECOND}.conv2"
    steps = [
        step._replace(attrs={**step.attrs, "bias": True}) if step.name == name else step
        for step in STEPS
    ]
    for weights in (None, {k: v for k, v in fresh(steps).items() if k != f"{name}.bias"}):
        comparison = compared(tmp_path, steps, weights)
        assert lines(comparison) == [f"{name} has bias True, the spec says False"]
