"""ONNX files that nobody should trust, and the command that reads them:
one clear line, whatever the bytes.
"""

import json
import os
import random
import resource
import subprocess
import sys
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from readers.onnx_styles import STYLES, File, Style, densenet, finished, written

from archspec.compare.compare import compare
from archspec.errors import ModelFileError
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph
from archspec.readers import protobuf
from archspec.readers.onnx.decode import MAX_NODES
from archspec.readers.onnx.read import read_onnx
from archspec.readers.protobuf import MAX_BYTES
from archspec.spec.load import load_spec

DIGITS = build_graph(load_spec("densenetbc_digits"))
DIGITS_STEPS = densenet([4, 4], 12, (1, 8, 8), 10, imagenet=False)


@pytest.fixture(scope="session")
def digits() -> Any:
    return written(DIGITS_STEPS, STYLES["torch"])[0]


def read(content: bytes, folder: Path) -> Graph:
    (folder / "bad.onnx").write_bytes(content)
    return read_onnx(folder / "bad.onnx")


def fault_of(content: bytes, folder: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        read(content, folder)
    (fault,) = caught.value.diagnostics
    assert fault.where == str(folder / "bad.onnx")
    assert len(fault.message) < 2_000
    return f"{fault.code} {fault.message}"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "R006 is empty"),
        (b"name: densenet121\ngrowth_rate: 32\n", "R006 is no ONNX"),
        (random.Random(1).randbytes(100_000), "R006 is no ONNX"),
        (b"\x00" * 1000, "R006 is no ONNX"),
        (b"\xff" * 1000, "R006 is no ONNX"),
        (b"\x08\x08", "R006 is no ONNX, or is cut short: it holds no graph"),
        (b"\x3a\x00", "R007 has 0 inputs and 0 outputs"),
        (b"\x3a\x00\x3a\x00", "R006 is no ONNX, or is cut short: it holds 2 graphs"),
    ],
)
def test_what_is_no_onnx_says_so(tmp_path: Path, content: bytes, expected: str) -> None:
    """One clear fault with the file's name."""
    assert fault_of(content, tmp_path).startswith(expected)


def test_fields_without_end_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protobuf, "MAX_FIELDS", 1_000)
    expected = "R006 is no ONNX, or is cut short: it has more than 1,000 fields"
    assert fault_of(b"\x42\x00" * 1_001, tmp_path).startswith(expected)


def test_what_is_no_file_says_so(tmp_path: Path) -> None:
    """Missing, a folder, a pipe that would wait for ever, a sparse file beyond the bound."""
    os.mkfifo(tmp_path / "pipe.onnx")
    with (tmp_path / "huge.onnx").open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    for name, expected in (
        ("missing.onnx", "R005 cannot be read: No such file"),
        ("", "R005 is no file"),
        ("pipe.onnx", "R005 is no file"),
        ("huge.onnx", "R006 has 2,147,483,649 bytes"),
    ):
        with pytest.raises(ModelFileError, match=expected):
            read_onnx(tmp_path / name)


def test_every_truncation_is_noticed(digits: Any, tmp_path: Path) -> None:
    """Whether the cut is in the weights, in a node or at the end of a field."""
    whole = digits.SerializeToString()
    for length in [1, 2, 3, *random.Random(2).sample(range(4, len(whole)), 40)]:
        try:
            found = read(whole[:length], tmp_path)
        except ModelFileError:
            continue
        # All that may be missing and do no harm is the version of the operators, which comes last.
        assert length > len(whole) - 20
        assert compare(DIGITS, found).is_equal


@pytest.mark.parametrize(
    "seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 30))]
)
def test_broken_bytes_are_refused_or_read(digits: Any, seed: int, tmp_path: Path) -> None:
    """No other error, whatever bytes are changed, left out or put twice."""
    rng, model = random.Random(seed), onnx.ModelProto()
    model.CopyFrom(digits)
    for tensor in model.graph.initializer:
        tensor.raw_data = tensor.raw_data[:8]
    whole = model.SerializeToString()
    for _ in range(60):
        content = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            at, kind = rng.randrange(len(content)), rng.randrange(3)
            if kind == 0:
                content[at] = rng.randrange(256)
            elif kind == 1:
                del content[at : at + rng.randint(1, 30)]
            else:
                content[at:at] = content[at : at + rng.randint(1, 30)]
        with suppress(ModelFileError):
            read(bytes(content), tmp_path)


def made(build: Any, style: Style | None = None) -> bytes:
    """A file of the nodes that a function writes, behind an image of 4 x 8 x 8."""
    file = File(style or Style())
    content: bytes = finished(file, "x", ("N", 4, 8, 8), build(file)).SerializeToString()
    return content


def test_a_cycle_is_said_to_be_one(digits: Any, tmp_path: Path) -> None:
    """A convolution that reads the output of the network."""
    model = onnx.ModelProto()
    model.CopyFrom(digits)
    model.graph.node[3].input[0] = model.graph.output[0].name
    assert "is read before anything makes it: it is missing, or a cycle" in fault_of(
        model.SerializeToString(), tmp_path
    )


def field(number: int, body: bytes) -> bytes:
    """A field of a protobuf message by its number: tag, length, body."""
    length, size = len(body), bytearray()
    while length > 127:
        size.append(length & 127 | 128)
        length >>= 7
    return bytes([number << 3 | 2, *size, length]) + body


def repeated(node: Any, count: int) -> bytes:
    """A graph of one node again and again."""
    return b"\x08\x08" + field(7, field(1, node.SerializeToString()) * count)


@pytest.mark.slow
@pytest.mark.parametrize("node", [helper.make_node("Relu", ["x"], ["x"]), onnx.NodeProto()])
def test_a_million_nodes_end_soon(node: Any, tmp_path: Path) -> None:
    """At the bound, long before they would fill the memory."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    expected = f"R006 is no ONNX, or is cut short: it has more than {MAX_NODES:,} nodes"
    assert fault_of(repeated(node, 1_000_000), tmp_path).startswith(expected)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kilobytes


def test_deep_graphs_inside_are_not_followed(tmp_path: Path) -> None:
    """Three hundred branches, each in the one before: protobuf would give up at a hundred."""
    inner, image = b"", helper.make_tensor_value_info("x", 1, ["N", 4, 8, 8])
    for _ in range(300):
        branch = field(1, b"then_branch") + field(6, inner)
        node = field(1, b"x") + field(2, b"y") + field(4, b"If") + field(5, branch)
        inner = field(1, node) + field(11, image.SerializeToString()) + field(12, field(1, b"y"))
    content = b"\x08\x08" + field(7, inner)
    assert fault_of(content, tmp_path).endswith(
        "If is no operator of a dense network that is known here"
    )


def doubled_sizes(file: File) -> str:
    sizes = file.sizes(*range(64))
    for _ in range(40):
        sizes = file.node("Concat", sizes, sizes, axis=0)
    return file.node("Reshape", "x", sizes)


def huge_constant(file: File) -> str:
    return file.node("Reshape", "x", file.node("ConstantOfShape", file.sizes(2**31, 2**31)))


def huge_weight(file: File) -> str:
    file.constants.append(TensorProto(name="w", data_type=1, dims=[2**62, 4, 3, 3]))
    return file.node("Conv", "x", "w")


def huge_product(file: File) -> str:
    file.constants.append(TensorProto(name="w", data_type=1, dims=[2**62, 2**62]))
    return file.node("Reshape", "x", file.node("Transpose", "w", perm=[1, 0]))


def negative_weight(file: File) -> str:
    file.constants.append(TensorProto(name="w", data_type=1, dims=[-4, 4, 3, 3]))
    return file.node("Conv", "x", "w")


def many_dims(file: File) -> str:
    file.constants.append(TensorProto(name="w", data_type=1, dims=[2**40] * 10_000))
    return file.node("Mul", "x", "w")


def lying_values(file: File) -> str:
    file.constants.append(TensorProto(name="w", data_type=7, dims=[2**40], raw_data=b"12345678"))
    return file.node("Reshape", "x", "w")


def flattened_tower(file: File) -> str:
    """Each vector would be made anew from the pool on."""
    x = file.node("GlobalAveragePool", "x")
    for _ in range(3000):
        x = file.node("Relu", x)
    return file.node("Flatten", x)


def tower_that_is_flattened_often(file: File) -> str:
    """Each vector is followed back so far and no further."""
    x = file.node("GlobalAveragePool", "x")
    for _ in range(300):
        x = file.node("Relu", x)
    return file.node("Concat", *[file.node("Flatten", x) for _ in range(300)], axis=1)


def squared_outer(file: File) -> str:
    a, b = file.sizes(*range(4000)), file.sizes(*range(4000))
    outer = file.node(
        "Mul", file.node("Unsqueeze", a, file.sizes(0)), file.node("Unsqueeze", b, file.sizes(1))
    )
    return file.node("Reshape", "x", outer)


def free_batch_text(file: File) -> str:
    batch = file.node("Gather", file.node("Shape", "x"), file.constant(0, kind=np.int64))
    return file.node("Reshape", "x", file.node("Mul", batch, file.constant(10**9, kind=np.int64)))


BOMBS = [
    (doubled_sizes, "Concat computes more than 4,096 sizes"),
    (huge_constant, "ConstantOfShape makes a constant of a size that is not known"),
    (huge_weight, "Conv gives more than 2,147,483,648 channels"),
    (huge_product, "Transpose has inputs or attributes of another form"),
    (negative_weight, "Conv does not read a parameter where it must"),
    (many_dims, "R006 is no ONNX, or is cut short: a tensor of more than 32 dimensions"),
    (lying_values, "Reshape has no shape that the file tells"),
    (flattened_tower, ""),
    (squared_outer, "Reshape has no shape that the file tells"),
    (free_batch_text, "Mul computes with the size of a batch that is free"),
    (
        lambda f: f.node("Split", "x", f.sizes(*[1] * 4096), axis=1),
        "Split splits 4 channels into",
    ),
    (
        lambda f: f.node("MaxPool", "x", kernel_shape=[2**40] * 2, strides=[1, 1]),
        "MaxPool has the size",
    ),
    (
        lambda f: f.node("MaxPool", "x", kernel_shape=[3, 3], strides=[0, 0]),
        "MaxPool has the size (0, 0)",
    ),
    (
        lambda f: f.node("Conv", "x", f.constant(np.ones((4, 4, 3, 3))), pads=[2**60] * 4),
        "Conv pads in a way",
    ),
    (lambda f: f.node("Relu", "x", alpha=float("nan"), beta=float("inf")), ""),
    (
        lambda f: f.node("Clip", "x", f.constant(np.nan), f.constant(np.inf)),
        "Clip clips to [nan, inf]",
    ),
    (
        lambda f: f.node("Resize", "x", "", f.constant([1, 1, np.inf, np.nan])),
        "Resize has inputs or attributes",
    ),
]


@pytest.mark.parametrize(("build", "expected"), BOMBS)
def test_numbers_that_would_cost_memory_or_time_are_refused(
    build: Any, expected: str, tmp_path: Path
) -> None:
    """Before anything of the size is made."""
    content = made(build)
    if not expected:
        assert read(content, tmp_path)
        return
    assert expected in fault_of(content, tmp_path)


def test_a_tower_that_is_flattened_often_is_not_copied_as_often(tmp_path: Path) -> None:
    """Of its 300 operators each of 300 vectors is made by a few."""
    assert len(read(made(tower_that_is_flattened_often), tmp_path).ops) < 300 * 12


def certify(*arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "densenet_cli", "certify", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="session")
def densenet121(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As torch.onnx writes torchvision's in evaluation mode:
    norms folded where they can be; called as nobody would.
    """
    file = tmp_path_factory.mktemp("onnx") / "densenet121.pb"
    file.write_bytes(
        written(densenet([6, 12, 24, 16], 32, (3, 224, 224), 1000), STYLES["torch folded"])[
            0
        ].SerializeToString()
    )
    return file


def test_the_command_certifies_an_onnx(densenet121: Path) -> None:
    """By its content, not its name: digest, blocks found and expected, what is folded; exit 0."""
    ended = certify(densenet121, "densenet121")
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert lines[0] == f"{densenet121} is densenet121"
    assert (
        lines[1]
        == "note: 59 batch norms are folded into the convolution before: eps is not compared there"
    )
    assert sha256(densenet121.read_bytes()).hexdigest() in ended.stdout
    assert "7,971,368 found, 7,978,856 expected" in ended.stdout
    rows = [line.split()[1:] for line in lines if line.startswith("features.denseblock")]
    assert rows == [
        ["6", "21", "21"],
        ["12", "78", "78"],
        ["24", "300", "300"],
        ["16", "136", "136"],
    ]


def test_the_command_names_what_differs(densenet121: Path) -> None:
    """Exit 3, one line for the one fault."""
    ended = certify(densenet121, "densenet121", "--set", "transitions.1.compression=0.25", "--json")
    certificate = json.loads(ended.stdout)
    assert (ended.returncode, ended.stderr) == (3, "")
    assert certificate["differences"] == [
        "features.transition2.conv has 256 outputs, the spec says 128"
    ]


@pytest.mark.parametrize("content", [b"", b"\x08\x08", b"no model\n", None])
def test_the_command_says_what_cannot_be_read_in_one_line(
    tmp_path: Path, content: bytes | None
) -> None:
    """Exit 1, the file and a code, no traceback."""
    file = tmp_path / "bad.onnx"
    if content is not None:
        file.write_bytes(content)
    ended = certify(file, "densenet121")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"{file} R005 cannot" if content is None else f"{file} R006 is ")
    assert ended.stderr.count("\n") == 1


def test_the_command_takes_the_number_of_classes_from_the_file(tmp_path: Path) -> None:
    """As for MINDIR files."""
    steps = densenet([4, 4], 12, (1, 8, 8), 7, imagenet=False)
    (tmp_path / "seven.onnx").write_bytes(written(steps, STYLES["view"])[0].SerializeToString())
    ended = certify(tmp_path / "seven.onnx", "densenetbc_digits")
    assert ended.returncode == 0
    assert (
        "note: 7 classes as in the file; densenetbc_digits has 10 where nothing else is said"
        in ended.stdout
    )
