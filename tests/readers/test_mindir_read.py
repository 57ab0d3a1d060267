"""Reading MINDIR: real files that MindSpore compiled, of our writer and of people;
and files that are none.
"""

import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archspec.compare.compare import compare
from archspec.errors import EnvironmentFault, ModelFileError
from archspec.graph.build import build_graph
from archspec.graph.digest import structure_digest
from archspec.graph.ir import Graph, Op
from archspec.graph.shapes import infer_shapes
from archspec.operators.table import JOINS, OPERATORS
from archspec.readers import protobuf
from archspec.readers.mindir import interpret
from archspec.readers.mindir.interpret import MAX_STEPS
from archspec.readers.mindir.messages import load_messages
from archspec.readers.mindir.read import mindir_reading, read_mindir
from archspec.readers.protobuf import MAX_BYTES
from archspec.runtime import prepare
from archspec.spec.load import load_spec
from archspec.writers.mindspore.create_model import create_model, import_text
from archspec.writers.mindspore.export_mindir import export_mindir

prepare()
SMALL = ["block_config=[2,3]", "growth_rate=8", "input.height=32", "input.width=32"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mindir")


@pytest.fixture(scope="session")
def digits(folder: Path) -> Path:
    """The demo's network, batch free."""
    export_mindir(create_model("densenetbc_digits"), (1, 8, 8), folder / "digits.mindir")
    return folder / "digits.mindir"


@pytest.fixture(scope="session")
def pooled(folder: Path) -> Path:
    """As ms.export alone writes it:
    a padded max pool and a free batch leave branches on the rank in the file.
    """
    import mindspore as ms

    network = create_model("densenet121", overrides=SMALL).set_train(False)
    image = ms.Tensor(shape=[None, 3, 32, 32], dtype=ms.float32)
    ms.export(network, image, file_name=str(folder / "pooled"), file_format="MINDIR")
    return folder / "pooled.mindir"


@pytest.fixture(scope="session")
def by_hand(folder: Path) -> Path:
    """MindCV's structure: lists of features, cells in a CellList, nn.Pad before the max pool."""
    from mindspore import nn, ops

    class DenseLayer(nn.Cell):
        def __init__(self, ins: int, growth: int) -> None:
            super().__init__()
            self.norm1, self.relu1 = nn.BatchNorm2d(ins), nn.ReLU()
            self.conv1 = nn.Conv2d(ins, 4 * growth, 1)
            self.norm2, self.relu2 = nn.BatchNorm2d(4 * growth), nn.ReLU()
            self.conv2 = nn.Conv2d(4 * growth, growth, 3, pad_mode="pad", padding=1)
            self.dropout = nn.Dropout(p=0.1)

        def construct(self, features: list) -> Any:
            x = self.conv1(self.relu1(self.norm1(ops.concat(features, axis=1))))
            return self.dropout(self.conv2(self.relu2(self.norm2(x))))

    class DenseBlock(nn.Cell):
        def __init__(self, layers: int, ins: int, growth: int) -> None:
            super().__init__()
            self.cell_list = nn.CellList(
                [DenseLayer(ins + i * growth, growth) for i in range(layers)]
            )

        def construct(self, x: Any) -> Any:
            features = [x]
            for layer in self.cell_list:
                features.append(layer(features))
            return ops.concat(features, axis=1)

    class Net(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.conv0 = nn.Conv2d(3, 16, 7, 2, pad_mode="pad", padding=3)
            self.norm0, self.relu0 = nn.BatchNorm2d(16), nn.ReLU()
            pad = nn.Pad(((0, 0), (0, 0), (1, 1), (1, 1)), mode="CONSTANT")
            self.pool0 = nn.SequentialCell(pad, nn.MaxPool2d(3, 2))
            self.block1 = DenseBlock(2, 16, 8)
            narrow = nn.Conv2d(32, 16, 1, pad_mode="valid")
            self.transition = nn.SequentialCell(
                nn.BatchNorm2d(32), nn.ReLU(), narrow, nn.AvgPool2d(2, 2)
            )
            self.block2 = DenseBlock(3, 16, 8)
            self.norm5, self.relu5 = nn.BatchNorm2d(40), nn.ReLU()
            self.pool = nn.AdaptiveAvgPool2d(1)
            self.flatten, self.classifier = nn.Flatten(), nn.Dense(40, 1000)

        def construct(self, x: Any) -> Any:
            x = self.pool0(self.relu0(self.norm0(self.conv0(x))))
            x = self.block2(self.transition(self.block1(x)))
            return self.classifier(self.flatten(self.pool(self.relu5(self.norm5(x)))))

    export_mindir(Net(), (3, 32, 32), folder / "by_hand.mindir", batch=2)
    return folder / "by_hand.mindir"


@pytest.fixture(scope="session")
def zoo(folder: Path) -> Graph:
    """One of each form that an operator may take, in a row."""
    import mindspore as ms
    from mindspore import nn, ops

    class Zoo(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.biased = nn.Conv2d(3, 4, 5, stride=2, pad_mode="pad", padding=2, has_bias=True)
            self.same = nn.Conv2d(4, 4, 3, stride=2, pad_mode="same")
            self.grouped = nn.Conv2d(4, 8, 3, pad_mode="pad", padding=2, dilation=2, group=2)
            self.twice = nn.Conv2d(8, 8, 1)
            self.norm = nn.BatchNorm2d(8, eps=1e-3)
            self.pool = nn.AvgPool2d(3, 2, pad_mode="pad", padding=1)
            self.max_pool = nn.MaxPool2d(2, 2)
            self.zero_pad = nn.ZeroPad2d(1)
            self.weight = ms.Parameter(ops.ones((10, 8)), name="w")

        def construct(self, x: Any) -> Any:
            x = ops.silu(self.same(ops.relu6(self.biased(x))))
            x = ops.gelu(self.grouped(x), approximate="none")
            x = ops.gelu(self.twice(x), approximate="tanh")
            x = ops.hardswish(self.norm(self.twice(x)))
            x = self.max_pool(self.pool(x))
            return ops.matmul(self.twice(self.zero_pad(x)).mean((2, 3)), self.weight.T)

    export_mindir(Zoo(), (3, 64, 64), folder / "zoo.mindir")
    return read_mindir(folder / "zoo.mindir")


def test_a_small_network_is_read_whole(digits: Path) -> None:
    """Operators by kind, written down from the spec:
    2 blocks of 4 bottleneck layers, a transition, a head.
    """
    graph = read_mindir(digits)
    assert Counter(op.kind for op in graph.ops.values()) == {
        "input": 1,
        "conv": 1 + 2 * 8 + 1,
        "batch_norm": 2 * 8 + 2,
        "relu": 2 * 8 + 2,
        "concat": 2 * 4,
        "avg_pool": 1,
        "global_avg_pool": 1,
        "dense": 1,
    }
    assert graph.ops["classifier+bias"].attrs == {"in_channels": 84, "out_channels": 10}
    assert graph.ops["features.denseblock2.denselayer4.conv2"].attrs == {
        "in_channels": 48,
        "out_channels": 12,
        "kernel": 3,
        "stride": 1,
        "padding": 1,
        "dilation": 1,
        "groups": 1,
    }
    assert infer_shapes(graph)[1] == ()


def test_parameters_are_those_of_the_live_network(digits: Path) -> None:
    """MindSpore's own count of trainable values is the oracle."""
    spec = build_graph(load_spec("densenetbc_digits"))
    params = sum(
        parameter.size for parameter in create_model("densenetbc_digits").trainable_params()
    )
    comparison = compare(spec, read_mindir(digits))
    assert comparison.is_equal
    assert comparison.params == params


def test_branches_on_the_rank_are_followed(pooled: Path) -> None:
    """The padded max pool is one operator again, and the network is the spec's."""
    assert b"MaxPool3DWithArgmax" in pooled.read_bytes()
    assert b"Switch" in pooled.read_bytes()
    graph = read_mindir(pooled)
    pool = next(op for op in graph.ops.values() if op.kind == "max_pool")
    assert pool.attrs == {"kernel": 3, "stride": 2, "padding": 1}
    comparison = compare(build_graph(load_spec("densenet121", SMALL)), graph)
    assert comparison.is_equal
    assert [block.edges for block in comparison.blocks] == [3, 6]


@pytest.mark.parametrize("batch", [None, 2])
def test_our_own_file_gives_the_same_graph(pooled: Path, folder: Path, batch: int | None) -> None:
    """`export_mindir` writes another file of the same network, without branches;
    so does a fixed batch.
    """
    network = create_model("densenet121", overrides=SMALL)
    export_mindir(network, (3, 32, 32), folder / "own.mindir", batch=batch)
    assert structure_digest(read_mindir(folder / "own.mindir")) == structure_digest(
        read_mindir(pooled)
    )


def test_a_network_written_by_hand_is_recognised(by_hand: Path) -> None:
    """Lists of features, nn.Pad before the pool, Flatten, parameters with other names:
    all the same network.
    """
    graph = read_mindir(by_hand)
    assert "block1.cell_list.0.conv1" in graph.ops
    comparison = compare(build_graph(load_spec("densenet121", SMALL)), graph)
    assert comparison.differences == ()
    assert comparison.notes == ()
    larger = [s.replace("block_config=[2,3]", "block_config=[2,4]") for s in SMALL]
    wrong = build_graph(load_spec("densenet121", larger))
    assert [d.message for d in compare(wrong, graph).differences] == [
        "block 2 has 3 layers, the spec says 4"
    ]


def test_every_form_of_an_operator_is_read(zoo: Graph) -> None:
    """Kinds in running order, and what is unusual in its attributes."""
    kinds = (
        "input conv relu6 conv silu conv gelu conv gelu conv batch_norm hard_swish "
        "avg_pool max_pool conv"
    )
    assert [op.kind for op in zoo.ops.values()] == [*kinds.split(), "global_avg_pool", "dense"]
    convs = [op.attrs for op in zoo.ops.values() if op.kind == "conv"]
    assert convs[0]["bias"] is True
    assert convs[1]["padding"] == (0, 1, 0, 1)
    assert (convs[2]["dilation"], convs[2]["groups"], convs[2]["in_channels"]) == (2, 2, 4)
    assert [("weights_of" in attrs) for attrs in convs] == [False, False, False, False, True, True]
    assert convs[5]["padding"] == 1
    exact, by_tanh = (op.attrs for op in zoo.ops.values() if op.kind == "gelu")
    assert (exact, by_tanh) == ({}, {"approximate": "tanh"})
    assert next(op.attrs["eps"] for op in zoo.ops.values() if op.kind == "batch_norm") == 1e-3
    assert next(op.attrs for op in zoo.ops.values() if op.kind == "avg_pool")["padding"] == 1
    assert next(op.attrs for op in zoo.ops.values() if op.kind == "dense")["bias"] is False


def compiled(function: Callable[[Any, Any], Any], file: Path) -> Graph:
    """What MindSpore makes of a function of a feature map and of its mean, (N, C)."""
    from mindspore import nn

    class Net(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def construct(self, x: Any) -> Any:
            x = self.conv(x)
            return function(x, x.mean((2, 3)))

    export_mindir(Net(), (3, 8, 8), file, batch=2)
    return read_mindir(file)


@pytest.mark.parametrize("takes_mean", [False, True])
def test_numbers_that_mindspore_multiplied_are_parted(folder: Path, takes_mean: bool) -> None:
    """The half of a GELU and the slope behind it become one number; a slope of 1 becomes none."""
    from mindspore import ops

    def function(x: Any, mean: Any) -> Any:
        x = mean if takes_mean else x
        y = ops.gelu(x, approximate="none")
        z = ops.gelu(ops.leaky_relu(y, 0.3), approximate="none")
        parts = (ops.leaky_relu(y, 0.25), ops.leaky_relu(y, 0.0), y, ops.leaky_relu(z, 0.1))
        return ops.concat(parts, axis=1)

    found = compiled(function, folder / "multiples.mindir").ops
    read = [(op.kind, found[op.inputs[0]].kind) for op in found.values() if len(op.inputs) == 1]
    pool = ("global_avg_pool", "conv")
    assert Counter(read) - Counter([pool] * takes_mean) == {
        ("conv", "input"): 1,
        ("gelu", "global_avg_pool" if takes_mean else "conv"): 1,
        ("gelu", "leaky_relu"): 1,
        ("leaky_relu", "gelu"): 4,
    }
    slopes = [op.attrs["slope"] for op in found.values() if op.kind == "leaky_relu"]
    assert sorted(slopes) == [0.0, 0.1, 0.25, 0.3]


@pytest.mark.parametrize("form", ["a larger multiple", "of another value"])
def test_a_multiple_of_an_activation_is_no_leaky_relu(folder: Path, form: str) -> None:
    """Where it is the larger one; beside what is not the activation. A row may join the two."""
    from mindspore import ops

    def multiple(x: Any, mean: Any) -> Any:
        return ops.gelu(x, approximate="none") * 0.3

    def larger(x: Any, mean: Any) -> Any:
        return ops.maximum(ops.gelu(x, approximate="none"), multiple(x, mean) * 5.0)

    def other(x: Any, mean: Any) -> Any:
        return ops.maximum(x, multiple(x, mean))

    forms = {"a larger multiple": larger, "of another value": other}
    file = folder / f"{form}.mindir"
    if any("Maximum" in OPERATORS[kind].mindir for kind in JOINS):
        kinds = {op.kind for op in compiled(forms[form], file).ops.values()}
        assert "leaky_relu" not in kinds
        return
    with pytest.raises(ModelFileError, match="R008"):
        compiled(forms[form], file)


def test_training_mode_is_a_fault(folder: Path) -> None:
    """ms.export does not switch to evaluation; all norms are said in one line."""
    import mindspore as ms

    network = create_model("densenetbc_digits").set_train(True)
    ms.export(
        network,
        ms.ops.zeros((2, 1, 8, 8)),
        file_name=str(folder / "training"),
        file_format="MINDIR",
    )
    with pytest.raises(ModelFileError) as caught:
        read_mindir(folder / "training.mindir")
    (fault,) = caught.value.diagnostics
    assert fault.code == "R008"
    assert fault.message.endswith("and 17 more: BatchNorm was exported in training mode")


@pytest.mark.parametrize("kind", ["Softmax", pytest.param("LogSoftmax", marks=pytest.mark.slow)])
def test_a_file_may_end_in_a_softmax(kind: str, folder: Path) -> None:
    """The network is what comes before it, and a note says so; over the batch it is refused."""
    from mindspore import nn

    digits = create_model("densenetbc_digits")
    for axis in (1, -1):
        file = folder / f"{kind}{axis}.mindir"
        export_mindir(nn.SequentialCell(digits, getattr(nn, kind)(axis)), (1, 8, 8), file)
        reading = mindir_reading(file)
        assert compare(build_graph(load_spec("densenetbc_digits")), reading.graph).is_equal
        assert reading.notes == (
            f"the file ends in {kind}, which no spec has: the network before it is compared",
        )
    export_mindir(nn.SequentialCell(digits, getattr(nn, kind)(0)), (1, 8, 8), folder / "bad.mindir")
    assert f"{kind} is not taken over the channels" in fault_of(folder / "bad.mindir")


def test_unknown_primitives_are_all_named(folder: Path) -> None:
    """Both Cos and Sin, not only the first."""
    from mindspore import nn, ops

    class Other(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.conv0 = nn.Conv2d(3, 8, 3)
            self.classifier = nn.Dense(8, 4)

        def construct(self, x: Any) -> Any:
            return ops.sin(self.classifier(ops.mean(ops.cos(self.conv0(x)), (2, 3))))

    export_mindir(Other(), (3, 8, 8), folder / "other.mindir")
    with pytest.raises(ModelFileError) as caught:
        read_mindir(folder / "other.mindir")
    assert [d.message.split(": ")[1].split()[0] for d in caught.value.diagnostics] == [
        "Cos",
        "Sin",
    ]


FORMS: dict[str, tuple[str, tuple[str, dict[str, float]]]] = {
    "hardtanh": ("ops.hardtanh(x, -1, 2)", ("hard_tanh", {"low": -1.0, "high": 2.0})),
    "clamp": ("ops.clamp(x, -1, 2)", ("hard_tanh", {"low": -1.0, "high": 2.0})),
    "clamp to 6": ("ops.clamp(x, 0, 6)", ("relu6", {})),
    "clamp below": ("ops.clamp(x, 0)", ("relu", {})),
    "smaller, larger": (
        "ops.maximum(ops.minimum(x, 2), -1)",
        ("hard_tanh", {"low": -1.0, "high": 2.0}),
    ),
    "tanh": ("ops.tanh(x)", ("tanh", {})),
    "mish": ("ops.mish(x)", ("mish", {})),
    "mish by its definition": ("x * ops.tanh(ops.softplus(x))", ("mish", {})),
    "softplus": ("ops.softplus(x)", ("softplus", {"beta": 1.0})),
    "sharper softplus": ("ops.softplus(x, 4)", ("softplus", {"beta": 4.0})),
    "elu": ("ops.elu(x)", ("elu", {"alpha": 1.0})),
    "scale": ("0.2 * x", ("scale", {"value": 0.2})),
    "quotient": ("x / 4", ("scale", {"value": 0.25})),
}
UNLIKE = {
    "another tanh": "ops.sigmoid(2 * x) - ops.sigmoid(-3 * x)",
    "a difference of one": "ops.sigmoid(2 * x) - ops.sigmoid(2 * x + 1)",
    "bounds in another order": "ops.clamp(x, 2, -1)",
    "one bound": "ops.clamp(x, -1)",
    "at most": "ops.minimum(x, 2)",
    "at least": "ops.maximum(x, -1)",
    "a softplus that is linear from 2 on": "ops.softplus(x, 1, 2)",
    "an elu of another sign": "ops.where(x > 0, x, -0.3 * ops.elu(x) + 1)",
    "one minus x": "1 - x",
    "a choice": "ops.where(x > 0, x, 0.3 * ops.sigmoid(x))",
}


def exported_form(form: str, file: Path) -> Path:
    """A network of one expression."""
    text = (
        "from mindspore import nn, ops\n\n\nclass Form(nn.Cell):\n"
        f"    def construct(self, x):\n        return {form}\n"
    )
    export_mindir(import_text(text, "form").Form(), (3, 4, 4), file)
    return file


@pytest.mark.parametrize(("form", "expected"), FORMS.values(), ids=FORMS)
def test_forms_that_others_write_are_read(
    form: str, expected: tuple[str, dict[str, float]], tmp_path: Path
) -> None:
    """Operators of MindSpore that the emitted text does not use, and definitions written out."""
    kind, attrs = expected
    ops = [Op("x", "input", (), {"shape": (3, 4, 4)}), Op("y", kind, ("x",), attrs)]
    found = read_mindir(exported_form(form, tmp_path / "form.mindir"))
    compared = compare(Graph.of("spec", ops), found)
    assert [str(line) for line in compared.differences] == []


@pytest.mark.parametrize("form", UNLIKE.values(), ids=UNLIKE)
def test_what_only_looks_like_one_is_refused(form: str, tmp_path: Path) -> None:
    """By a number, by a bound, by one part more."""
    with pytest.raises(ModelFileError) as caught:
        read_mindir(exported_form(form, tmp_path / "form.mindir"))
    assert {fault.code for fault in caught.value.diagnostics} == {"R008"}


def test_what_only_looks_like_a_gelu_is_refused(folder: Path) -> None:
    """(1 + erf(x / sqrt 2)) squared has all five operators of a GELU in their order."""
    from mindspore import nn, ops

    class Squared(nn.Cell):
        def __init__(self) -> None:
            super().__init__()
            self.conv0 = nn.Conv2d(3, 8, 3)
            self.classifier = nn.Dense(8, 4)

        def construct(self, x: Any) -> Any:
            x = 1 + ops.erf(self.conv0(x) / 2**0.5)
            return self.classifier(ops.mean(x * x * 0.5, (2, 3)))

    export_mindir(Squared(), (3, 8, 8), folder / "squared.mindir")
    with pytest.raises(ModelFileError) as caught:
        read_mindir(folder / "squared.mindir")
    primitives = [d.message.split(": ")[1].split()[0] for d in caught.value.diagnostics]
    assert [name.removesuffix("s") for name in primitives] == ["Erf", "Add"]


def fault_of(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        read_mindir(path)
    (fault,) = caught.value.diagnostics
    assert fault.where == str(path)
    return f"{fault.code} {fault.message}"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "R006 is empty"),
        (b"name: densenet121\ngrowth_rate: 32\n", "R006 is no MINDIR"),
        (b"Dear reader,\n" * 1000, "R006 is no MINDIR"),
        (random.Random(1).randbytes(100_000), "R006 is no MINDIR"),
        (b"\x00" * 1000, "R006 is no MINDIR"),
        (b"\xff" * 1000, "R006 is no MINDIR"),
        (b"\x1f\x8b\x08" + b"\x00" * 100, "R006 is no MINDIR"),
        (b"\x12\x00", "R006 is no MINDIR, or is cut short: it holds no graph"),
        (b"\x3a\x00", "R007"),
        (b"\x3a\x80\x80\x80\x80\x10", "R006 is no MINDIR"),
    ],
)
def test_what_is_no_mindir_says_so(tmp_path: Path, content: bytes, expected: str) -> None:
    """One clear fault with the file's name."""
    (tmp_path / "bad.mindir").write_bytes(content)
    assert fault_of(tmp_path / "bad.mindir").startswith(expected)


def test_fields_without_end_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protobuf, "MAX_FIELDS", 1_000)
    (tmp_path / "bad.mindir").write_bytes(b"\x0a\x00" * 1_001)
    expected = "R006 is no MINDIR, or is cut short: it has more than 1,000 fields"
    assert fault_of(tmp_path / "bad.mindir").startswith(expected)


def test_what_is_no_file_says_so(tmp_path: Path) -> None:
    """Missing, a folder, a pipe that would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    assert fault_of(tmp_path / "missing.mindir") == "R005 cannot be read: No such file or directory"
    assert fault_of(tmp_path) == "R005 is no file"
    assert fault_of(tmp_path / "pipe") == "R005 is no file"


def test_a_file_beyond_the_bound_is_not_read(tmp_path: Path) -> None:
    """Sparse, so it costs nothing here either."""
    with (tmp_path / "huge.mindir").open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    assert (
        fault_of(tmp_path / "huge.mindir")
        == "R006 has 2,147,483,649 bytes, more than 2,147,483,648"
    )


def test_every_truncation_is_noticed(digits: Path, tmp_path: Path) -> None:
    """Whether the cut is in the weights, in a node or at the end of a field."""
    whole = digits.read_bytes()
    for length in [1, 2, 3, *random.Random(2).sample(range(4, len(whole)), 40), len(whole) - 1]:
        (tmp_path / "cut.mindir").write_bytes(whole[:length])
        with pytest.raises(ModelFileError):
            read_mindir(tmp_path / "cut.mindir")


Edit = Callable[[Any], None]


def rewritten(source: Path, target: Path, edit: Edit) -> Path:
    """The file with its protobuf message edited, weights left out to be small."""
    message = load_messages().ModelProto.FromString(source.read_bytes())
    for parameter in message.graph.parameter:
        parameter.ClearField("raw_data")
    edit(message)
    target.write_bytes(message.SerializeToString())
    return target


def node(message: Any, primitive: str, at: int = 0) -> Any:
    return [n for n in message.graph.node if n.op_type.startswith(f"REF::{primitive}:")][at]


def cycle(message: Any) -> None:
    node(message, "Conv2D").input[0] = message.graph.output[0].name


def missing_input(message: Any) -> None:
    node(message, "ReLU").input[0] = "nowhere"


def no_nodes(message: Any) -> None:
    del message.graph.node[:]


def two_outputs(message: Any) -> None:
    message.graph.output.add().name = node(message, "ReLU").output[0]


def text_input(message: Any) -> None:
    del message.graph.input[0].tensor[0].dims[:]


def free_pixels(message: Any) -> None:
    message.graph.input[0].tensor[0].dims[2] = -1


def calls_itself(message: Any) -> None:
    node(message, "ReLU").op_type = "REF::again"
    again = message.functions.add()
    again.name = "again"
    again.input.add().name = "again:x"
    again.node.add(op_type="REF::again", name="again:y", input=["again:x"], output=["again:y"])
    again.output.add().name = "again:y"


def calls_doubling(message: Any) -> None:
    """Thirty functions, each of which calls the next one twice."""
    node(message, "ReLU").op_type = "REF::f0"
    for n in range(30):
        function = message.functions.add()
        function.name = f"f{n}"
        function.input.add().name = f"f{n}:x"
        for part in ("a", "b"):
            function.node.add(
                op_type=f"REF::f{n + 1}",
                name=f"f{n}:{part}",
                input=[f"f{n}:x"],
                output=[f"f{n}:{part}"],
            )
        function.output.add().name = f"f{n}:b"
    message.functions.add().name = "f30"
    message.functions[-1].input.add().name = "f30:x"
    message.functions[-1].output.add().name = "f30:x"


def tuple_doubling(message: Any) -> None:
    """Forty times the concatenation of a tuple with itself."""
    add = message.primitives.add(name="SequenceAdd:1", op_type="SequenceAdd")
    for n in range(40):
        before = f"t{n}" if n else node(message, "MakeTuple").output[0]
        made = message.graph.node.add(
            op_type=f"REF::{add.name}", input=[before, before], output=[f"t{n + 1}"]
        )
        made.name = f"g:t{n + 1}:0"
    tuple_of_numbers = message.graph.node.add(op_type="Constant", name="n0", output=["t"])
    tuple_of_numbers.attribute.add(name="value", type="TUPLE").values.add(type="INT64", ints=[1])
    for made in message.graph.node:
        if made.output[0] == "t1":
            made.input[:] = ["t", "t"]


def wrong_width(message: Any) -> None:
    next(
        p
        for p in message.graph.parameter
        if p.name.endswith("denseblock1.denselayer2.conv1.weight")
    ).dims[1] = 25


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (cycle, "is read before anything makes it: it is missing, or a cycle"),
        (missing_input, "R007 nowhere is read before anything makes it"),
        (no_nodes, "R007"),
        (two_outputs, "R007"),
        (text_input, "R007 its input has the shape (), must be (N, C, H, W)"),
        (
            free_pixels,
            (
                "R007 its input has the shape ('free', 1, 'free', 8), must be (N, C, H, W) with "
                "C, H, W fixed"
            ),
        ),
        (calls_itself, "R007 a function"),
    ],
)
def test_hostile_graphs_end_in_one_fault(
    digits: Path, tmp_path: Path, edit: Edit, expected: str
) -> None:
    """Cycles, missing values, recursion."""
    assert expected in fault_of(rewritten(digits, tmp_path / "hostile.mindir", edit))


@pytest.mark.parametrize("bound", [100_000, pytest.param(MAX_STEPS, marks=pytest.mark.slow)])
@pytest.mark.parametrize("edit", [calls_doubling, tuple_doubling])
def test_bombs_that_double_end_at_the_bound(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edit: Edit, bound: int
) -> None:
    """One of 2^30 calls, one of a tuple of 2^40 numbers."""
    monkeypatch.setattr(interpret, "MAX_STEPS", bound)
    expected = f"R007 running its functions takes more than {bound:,} steps"
    assert expected in fault_of(rewritten(digits, tmp_path / "hostile.mindir", edit))


def test_weights_that_do_not_fit_are_a_fault(digits: Path, tmp_path: Path) -> None:
    """Named with the primitive, and the numbers that do not agree."""
    with pytest.raises(
        ModelFileError, match=r"R008 output.*: Conv2D is made for 25 channels, reads 36"
    ):
        read_mindir(rewritten(digits, tmp_path / "wide.mindir", wrong_width))


def test_a_lost_connection_in_the_file_itself_is_named(digits: Path, tmp_path: Path) -> None:
    """The third layer's join without the second layer's output,
    its weights 12 channels narrower.
    """

    def lose(message: Any) -> None:
        last = node(message, "Concat", 1)
        before = next(
            n for n in message.graph.node if n.output[0] == node(message, "Concat", 0).output[0]
        )
        norm = next(n for n in message.graph.node if n.input and n.input[0] == last.output[0])
        norm.input[0] = before.output[0]
        for parameter in message.graph.parameter:
            place = parameter.name.rpartition(":")[2]
            if place.startswith("features.denseblock1.denselayer3.norm1."):
                parameter.dims[0] = 36
            if place == "features.denseblock1.denselayer3.conv1.weight":
                parameter.dims[1] = 36

    graph = read_mindir(rewritten(digits, tmp_path / "lost.mindir", lose))
    found = compare(build_graph(load_spec("densenetbc_digits")), graph)
    assert [d.message for d in found.differences] == ["block 1, layer 3 does not read layer 2"]


def test_random_damage_never_ends_in_a_traceback(digits: Path, tmp_path: Path) -> None:
    """200 files with bytes changed outside the weights:
    a graph, or a fault of ours, nothing else.
    """
    sound = rewritten(digits, tmp_path / "sound.mindir", lambda message: None).read_bytes()
    rng, damaged, refused = random.Random(7), tmp_path / "damaged.mindir", 0
    for _ in range(200):
        content = bytearray(sound)
        for _ in range(rng.choice((1, 1, 3, 30))):
            content[rng.randrange(len(content))] = rng.randrange(256)
        damaged.write_bytes(content)
        try:
            read_mindir(damaged)
        except ModelFileError:
            refused += 1
    assert refused > 50


def test_a_name_that_is_no_text_is_a_fault(digits: Path, tmp_path: Path) -> None:
    """Protobuf hands on bytes that are not UTF-8, wherever a name may stand."""
    sound = rewritten(digits, tmp_path / "sound.mindir", lambda message: None).read_bytes()
    for name in (b"REF::Conv2D", b"features.conv0.weight", b"Conv2D:", b"stride"):
        assert name in sound
        (tmp_path / "bytes.mindir").write_bytes(sound.replace(name, b"\xff" + name[1:]))
        assert fault_of(tmp_path / "bytes.mindir").startswith("R006 is no MINDIR")


@pytest.mark.parametrize("implementation", ["upb", "python"])
def test_texts_of_a_model_are_read_whatever_protobuf_computes_with(
    implementation: str, digits: Path, tmp_path: Path
) -> None:
    """MindSpore up to 2.9 has protobuf compute in Python alone, for all that a process starts."""
    told = {"classes": '["a"]', "spec": "growth_rate: 4"}
    file = rewritten(
        digits, tmp_path / "told.mindir", lambda message: message.user_info.update(told)
    )
    code = (
        "from pathlib import Path; from archspec.readers.mindir.decode import read_model\n"
        f"assert read_model(Path({str(file)!r})).told == {told!r}\n"
    )
    environment = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=environment)


def test_mindspore_itself_is_not_imported(digits: Path) -> None:
    """Its import takes seconds and 400 MB; its protobuf module alone does."""
    code = (
        "import sys; from pathlib import Path; from archspec.readers.mindir.read import "
        "read_mindir\n"
    )
    code += (
        f"assert len(read_mindir(Path({str(digits)!r})).ops) == 66\n"
        "assert 'mindspore' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_missing_mindspore_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """E001 with the cure, before anything is opened."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EnvironmentFault, match="E001 MindSpore is not installed"):
        read_mindir(tmp_path / "any.mindir")
