"""`lift_file`, as a program calls it:
the text is a spec, and `certify_file` finds it equal to the file.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from onnx import helper
from readers.onnx_styles import STYLES, densenet, written

from archspec import certify_file, lift_file, load_spec
from archspec.errors import ModelFileError


def model(folder: Path, name: str = "theirs.onnx", softmax: bool = False) -> Path:
    made = written(densenet([4, 4], 12, (1, 8, 8), 10, imagenet=False), STYLES["torch"])[0]
    if softmax:
        (output,) = made.graph.output
        made.graph.node.append(helper.make_node("Softmax", [output.name], ["shares"], axis=1))
        output.name = "shares"
    (folder / name).write_bytes(made.SerializeToString())
    return folder / name


@pytest.mark.parametrize("given", [None, "mine"])
def test_the_text_is_the_files_spec(
    given: str | None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Called as the file, or as is said; nothing is printed."""
    file = model(tmp_path)
    lifted = lift_file(file, given)
    assert lifted.notes == ()
    (tmp_path / "spec.yaml").write_text(lifted.text)
    spec = load_spec(tmp_path / "spec.yaml")
    assert (spec.name, spec.growth_rate) == (given or "theirs", 12)
    assert certify_file(file, spec, ordered=True).is_equal
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "called"), [("121.onnx", "network_121"), ("a b.onnx", "a_b"), ("x.mindir", "x")]
)
def test_a_spec_is_called_as_its_file(name: str, called: str, tmp_path: Path) -> None:
    """As far as a spec may be, whatever the format."""
    assert lift_file(str(model(tmp_path, name))).text.startswith(f"name: {called}\n")


def test_what_no_spec_has_is_a_note(tmp_path: Path) -> None:
    """Here the softmax at the end."""
    (note,) = lift_file(model(tmp_path, softmax=True)).notes
    assert note.startswith("the file ends in Softmax")


@pytest.mark.parametrize(
    ("content", "code"), [(None, "R005"), (b"\x08\x08", "R006"), (b"name: x\n", "R006")]
)
def test_what_cannot_be_read_is_raised(content: bytes | None, code: str, tmp_path: Path) -> None:
    """With its code, for a program to handle."""
    file = tmp_path / "theirs.onnx"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ModelFileError) as caught:
        lift_file(file)
    assert [fault.code for fault in caught.value.diagnostics] == [code]
