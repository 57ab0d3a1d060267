"""`densenet lift` as a user runs it: real files, exit codes,
what is on the screen and what is on the disk.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import densenet, passed, refused
from onnx import TensorProto, helper
from readers.onnx_styles import STYLES, written
from readers.onnx_styles import densenet as steps_of

from archspec.errors import ArchspecError
from densenet_cli.lift import lift

DIGITS = """\
name: theirs
input: {channels: 1, height: 8, width: 8}
stem: {kernel: 3, stride: 1, norm: false, pool: none}
growth_rate: 12
block_config: [4, 4]
head: {num_classes: 10}
"""


def model(folder: Path, style: str = "torch", name: str = "theirs.onnx") -> str:
    steps = steps_of([4, 4], 12, (1, 8, 8), 10, imagenet=False)
    (folder / name).write_bytes(written(steps, STYLES[style])[0].SerializeToString())
    return name


def nodes(folder: Path, *made: tuple[str, list[str], str], inputs: tuple[str, ...] = ("x",)) -> str:
    """A file of nodes (operator, inputs, output), the last one's output being the network's."""
    images = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in inputs
    ]
    output = helper.make_tensor_value_info(made[-1][2], TensorProto.FLOAT, None)
    listed = [helper.make_node(kind, given, [name], name=name) for kind, given, name in made]
    graph = helper.make_graph(listed, "graph", images, [output])
    file = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "other.onnx").write_bytes(file.SerializeToString())
    return "other.onnx"


def test_a_lifted_spec_is_certified_against_the_file(tmp_path: Path) -> None:
    """What is said to type next ends with 0."""
    said = passed(densenet("lift", model(tmp_path), "-o", "spec.yaml", cwd=tmp_path))
    assert said == "wrote spec.yaml\nNext: densenet certify theirs.onnx spec.yaml\n"
    assert (tmp_path / "spec.yaml").read_text() == DIGITS
    _, command = said.split("Next: densenet ")
    assert passed(densenet(*command.split(), cwd=tmp_path)).startswith("theirs.onnx is spec.yaml\n")


def test_without_a_file_the_spec_is_on_the_screen_alone(tmp_path: Path) -> None:
    """Notes stand beside it, so that the output may be redirected."""
    assert passed(
        densenet("lift", model(tmp_path), "--name", "mine", cwd=tmp_path)
    ) == DIGITS.replace("theirs", "mine")
    done = densenet("lift", model(tmp_path, "scale and shift", "5 %.onnx"), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, DIGITS.replace("theirs", "network_5__"))
    assert (
        done.stderr
        == "note: 18 batch norms are written as a scale and a shift: eps is not compared there\n"
    )


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """Not even a link that leads nowhere."""
    file = model(tmp_path)
    (tmp_path / "spec.yaml").write_text("precious")
    (tmp_path / "link.yaml").symlink_to("nowhere")
    done = densenet("lift", file, "-o", "spec.yaml", cwd=tmp_path)
    refused(done, "spec.yaml W002 exists, and is not overwritten (name another file)")
    assert (tmp_path / "spec.yaml").read_text() == "precious"
    assert "W002 exists" in fault(tmp_path / file, tmp_path / "link.yaml")
    assert not (tmp_path / "nowhere").exists()


def fault(file: Path, output: Path | None = None, name: str | None = None) -> str:
    """The one line with which the command ends."""
    with pytest.raises(ArchspecError) as caught:
        lift(file, output, name)
    assert str(caught.value).count("\n") == 0
    return str(caught.value)


def test_a_place_or_name_that_cannot_be_is_refused(tmp_path: Path) -> None:
    """Nothing is left behind."""
    file = tmp_path / model(tmp_path)
    assert "nowhere/spec.yaml W002 cannot be written: No such file" in fault(
        file, tmp_path / "nowhere/spec.yaml"
    )
    assert "theirs.onnx/spec.yaml W002 cannot be written: Not a directory" in fault(
        file, file / "spec.yaml"
    )
    assert fault(file, name="a b").startswith("--name a b S004 name (=a b) must match")
    assert [path.name for path in tmp_path.iterdir()] == ["theirs.onnx"]


@pytest.mark.parametrize(
    ("made", "inputs", "words"),
    [
        # Places of values that are not 0: no row can have it, what it gives is no map.
        ([("Relu", ["x"], "a"), ("NonZero", ["a"], "b")], ("x",), "other.onnx R008 b: NonZero "),
        (
            [("Relu", ["x"], "a"), ("Add", ["a", "x"], "b")],
            ("x",),
            "other.onnx R108 b: adds feature maps",
        ),
        (
            [("Relu", ["x"], "a"), ("Relu", ["a"], "b")],
            ("x",),
            "other.onnx R108 no layers of a dense block",
        ),
        ([("Add", ["x", "y"], "a")], ("x", "y"), "other.onnx R007 has 2 inputs and 1 outputs"),
    ],
)
def test_what_the_language_cannot_say_is_refused_by_its_name(
    made: list[tuple[str, list[str], str]], inputs: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    """One line, and nothing is written."""
    file = tmp_path / nodes(tmp_path, *made, inputs=inputs)
    assert words in fault(file, tmp_path / "spec.yaml")
    assert not (tmp_path / "spec.yaml").exists()


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    """Damaged or absent, by the file's name, and with 1."""
    (tmp_path / "bad.mindir").write_bytes(b"no model\n")
    refused(densenet("lift", "bad.mindir", cwd=tmp_path), "bad.mindir R006 ")
    assert "absent.onnx R005 cannot be read: No such file" in fault(tmp_path / "absent.onnx")
