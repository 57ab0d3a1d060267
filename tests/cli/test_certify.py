"""`densenet certify` as a user runs it: real processes, real files, exit codes and texts."""

import json
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import oracle
import pytest
from conftest import densenet
from safetensors.numpy import save_file

from archspec.graph.build import build_graph
from archspec.runtime import prepare
from archspec.spec.load import load_spec
from archspec.writers.mindspore.create_model import create_model, import_text
from archspec.writers.mindspore.export_mindir import export_mindir
from archspec.writers.mindspore.module import write_module
from archspec.writers.onnx.model import make_onnx
from archspec.writers.onnx.onnx_files import save_onnx

ROOT = Path(__file__).parents[2]

prepare()


def certify(*arguments: object) -> "subprocess.CompletedProcess[str]":
    """Run the command in a process of its own."""
    return densenet("certify", *arguments)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """densenet121 as it is, and the demo's network with 7 classes."""
    folder = tmp_path_factory.mktemp("certify")
    # A fixed batch compiles several times as fast; the demo's file has a free one.
    export_mindir(
        create_model("densenet121"), (3, 224, 224), folder / "densenet121.mindir", batch=1
    )
    export_mindir(
        create_model("densenetbc_digits", num_classes=7), (1, 8, 8), folder / "seven.mindir"
    )
    return folder


def test_the_right_file_gets_a_certificate(files: Path) -> None:
    """Digest of the file, blocks found and expected, the published number of parameters, exit 0."""
    file = files / "densenet121.mindir"
    ended = certify(file, "densenet121")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith(f"{file} is densenet121\n")
    for each in (file, ROOT / "specs/densenet121.yaml"):
        assert sha256(each.read_bytes()).hexdigest() in ended.stdout
    assert "7,978,856 found, 7,978,856 expected" in ended.stdout
    rows = [
        line.split()[1:]
        for line in ended.stdout.splitlines()
        if line.startswith("features.denseblock")
    ]
    assert rows == [
        ["6", "21", "21"],
        ["12", "78", "78"],
        ["24", "300", "300"],
        ["16", "136", "136"],
    ]
    assert "not compared  values of the weights" in ended.stdout


def test_the_certificate_is_json_too(files: Path) -> None:
    """All of it, for programs."""
    ended = certify(files / "densenet121.mindir", "densenet121", "--json")
    certificate = json.loads(ended.stdout)
    assert ended.returncode == 0
    assert certificate["equal"] is True
    assert certificate["differences"] == []
    assert [block["edges"] for block in certificate["blocks"]] == [21, 78, 300, 136]
    assert certificate["params"] == certificate["expected_params"] == 7_978_856


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            "growth_rate=24",
            [
                "features.conv0 has 64 outputs, the spec says 48",
                "features.denseblock1.denselayer1.conv1 and 57 more have 128 "
                "outputs, the spec says 96",
                "features.denseblock1.denselayer1.conv2 and 57 more have 32 outputs, "
                "the spec says 24",
            ],
        ),
        ("block_config=[6,11,24,16]", ["block 2 has 12 layers, the spec says 11"]),
        (
            "transitions.1.compression=0.25",
            ["features.transition2.conv has 256 outputs, the spec says 128"],
        ),
        ("stem.stride=1", ["features.conv0 has stride 2, the spec says 1"]),
    ],
)
def test_another_spec_is_different(files: Path, spec: str, expected: list[str]) -> None:
    """Exit 3, one line for each fault."""
    ended = certify(files / "densenet121.mindir", "densenet121", "--set", spec)
    assert (ended.returncode, ended.stderr) == (3, "")
    lines = ended.stdout.splitlines()
    assert lines[0] == f"{files / 'densenet121.mindir'} is not densenet121"
    assert [
        line.removeprefix("different: ") for line in lines if line.startswith("different: ")
    ] == expected


def test_classes_come_from_the_file_unless_they_are_said(files: Path) -> None:
    """A shipped spec's 10 is a default; --num-classes and --set are the user's word."""
    file = files / "seven.mindir"
    ended = certify(file, "densenetbc_digits")
    assert ended.returncode == 0
    assert (
        "note: 7 classes as in the file; densenetbc_digits has 10 where nothing else is said"
        in ended.stdout
    )
    for said in (["--num-classes", "10"], ["--set", "head.num_classes=10"]):
        ended = certify(file, "densenetbc_digits", *said)
        assert ended.returncode == 3
        assert "different: classifier has 7 outputs, the spec says 10\n" in ended.stdout


def test_a_specs_own_classes_hold(files: Path, tmp_path: Path) -> None:
    """Those of a YAML file that names them, and those of a run directory."""
    for classes, code in ((7, 0), (9, 3)):
        text = f"extends: densenetbc_digits\nhead: {{num_classes: {classes}}}\n"
        (tmp_path / "spec.yaml").write_text(text)
        for spec in (tmp_path, tmp_path / "spec.yaml"):
            assert certify(files / "seven.mindir", spec).returncode == code


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "R006"), (b"no model\n", "R006"), (b"\x3a\x00", "R007"), (None, "R005")],
)
def test_what_cannot_be_read_is_one_line(tmp_path: Path, content: bytes | None, code: str) -> None:
    """Exit 1, the file and a code, no traceback."""
    file = tmp_path / "bad.mindir"
    if content is not None:
        file.write_bytes(content)
    ended = certify(file, "densenet121")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"{file} {code} ")
    assert ended.stderr.count("\n") == 1


def test_a_truncated_copy_is_refused(files: Path, tmp_path: Path) -> None:
    """As after an interrupted download."""
    shutil.copy(files / "seven.mindir", tmp_path / "cut.mindir")
    with (tmp_path / "cut.mindir").open("r+b") as stream:
        stream.truncate(100_000)
    ended = certify(tmp_path / "cut.mindir", "densenetbc_digits")
    assert ended.returncode == 1
    assert "R006 is no MINDIR, or is cut short" in ended.stderr


def test_faults_of_the_spec_are_said_as_everywhere(files: Path) -> None:
    """An unknown name ends with 1, a missing argument with 2."""
    ended = certify(files / "seven.mindir", "densenet122")
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert certify(files / "seven.mindir").returncode == 2


def test_a_folder_that_is_no_run_is_said_to_be_none(files: Path, tmp_path: Path) -> None:
    """Not a missing spec.yaml of the user's."""
    ended = certify(files / "seven.mindir", tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.startswith(
        f"{tmp_path} T004 is no whole run directory: it has no spec.yaml"
    )


def test_another_order_inside_concatenations_is_a_difference_when_asked_for(tmp_path: Path) -> None:
    """The same network with permuted channels: a note, or exit 3 with --ordered."""
    spec = tmp_path / "two.yaml"
    spec.write_text("extends: densenetbc_digits\nblock_config: [2, 2]\ngrowth_rate: 4\n")
    text = write_module(build_graph(load_spec(spec)))
    turned = text.replace("ops.concat((x, layer(x)), 1)", "ops.concat((layer(x), x), 1)")
    assert turned != text
    export_mindir(
        import_text(turned, "turned").Network(), (1, 8, 8), tmp_path / "turned.mindir", batch=1
    )
    ended = certify(tmp_path / "turned.mindir", spec)
    assert ended.returncode == 0, ended.stdout
    assert "note: " in ended.stdout
    assert certify(tmp_path / "turned.mindir", spec, "--ordered").returncode == 3


def test_other_names_are_a_difference_when_asked_for(tmp_path: Path) -> None:
    """By themselves they play no part."""
    spec = tmp_path / "two.yaml"
    spec.write_text("extends: densenetbc_digits\nblock_config: [2, 2]\ngrowth_rate: 4\n")
    text = write_module(build_graph(load_spec(spec))).replace("self.classifier", "self.fc")
    export_mindir(
        import_text(text, "renamed").Network(), (1, 8, 8), tmp_path / "renamed.mindir", batch=1
    )
    plain = json.loads(certify(tmp_path / "renamed.mindir", spec, "--json").stdout)
    assert (plain["equal"], [words for words in plain["not_compared"] if "names" in words]) == (
        True,
        ["names of what has weights"],
    )
    ended = certify(
        tmp_path / "renamed.mindir", spec, "--names", "-o", tmp_path / "certificate.json"
    )
    assert ended.returncode == 3
    assert "different: classifier is called fc in the file\n" in ended.stdout
    assert ended.stdout.endswith(f"wrote {tmp_path / 'certificate.json'}\n")
    held = json.loads((tmp_path / "certificate.json").read_text())
    assert held["differences"] == ["classifier is called fc in the file"]
    assert "names of what has weights" in held["compared"]


def test_a_certificate_that_cannot_be_written_is_told(files: Path, tmp_path: Path) -> None:
    """Exit 1, the file, and nothing else."""
    ended = certify(
        files / "seven.mindir", "densenetbc_digits", "-o", tmp_path / "none/certificate.json"
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "W002 cannot be written" in ended.stderr


def test_moving_averages_of_a_checkpoint_are_compared_when_asked_for(tmp_path: Path) -> None:
    """Else its plain weights are, and a note says that they were."""
    graph = build_graph(load_spec("densenetbc_digits"))
    averages = oracle.random_parameters(graph.ops.values(), 0)
    plain = oracle.random_parameters(graph.ops.values(), 1)
    file, both = tmp_path / "a.onnx", tmp_path / "both.safetensors"
    save_onnx(make_onnx(graph, averages), file)
    save_file({**plain, **{f"ema.{name}": values for name, values in averages.items()}}, both)
    ended = certify(file, "densenetbc_digits", "--ckpt", both)
    assert ended.returncode == 3
    assert f"note: {both}: the file's plain weights were taken; its EMA weights" in ended.stdout
    ended = certify(file, "densenetbc_digits", "--ckpt", both, "--ema")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert f"note: {both}: the file's EMA weights, 'ema', were taken" in ended.stdout
    ended = certify(file, "densenetbc_digits", "--ema")
    assert ended.returncode == 2
    assert "goes with --ckpt" in ended.stderr


def test_our_own_files_have_the_specs_names(files: Path) -> None:
    """Each of 364 operators with weights."""
    ended = certify(files / "densenet121.mindir", "densenet121", "--names", "--ordered")
    assert ended.returncode == 0, ended.stdout
