"""`certify_file`, as a program calls it: what it returns, raises, and does not print."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
from readers.onnx_styles import STYLES, densenet, written

from archspec import Certificate, certify_file, load_spec
from archspec.errors import ArchspecError, ModelFileError, SpecError

ROOT = Path(__file__).parents[2]
# Pairs of layers l(l + 1) / 2, and one connection from each block's input to each layer (Huang et
# al. 2017).
EDGES = 4 * 5 // 2


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """densenetbc_digits with 7 classes, as PyTorch writes it."""
    path = tmp_path_factory.mktemp("certify") / "theirs.onnx"
    steps = densenet([4, 4], 12, (1, 8, 8), 7, imagenet=False)
    path.write_bytes(written(steps, STYLES["torch"])[0].SerializeToString())
    return path


def test_a_file_that_is_the_specs_network(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """By a shipped name: the connections of both blocks,
    digests of both files, and nothing on the screen.
    """
    found = certify_file(file, "densenetbc_digits")
    assert isinstance(found, Certificate)
    assert found.is_equal
    assert found.differences == ()
    assert [block.edges for block in found.comparison.blocks] == [EDGES, EDGES]
    assert found.sha256 == sha256(file.read_bytes()).hexdigest()
    spec_file = ROOT / "specs/densenetbc_digits.yaml"
    assert found.spec_file is not None
    assert found.spec_file.samefile(spec_file)
    assert found.spec_sha256 == sha256(spec_file.read_bytes()).hexdigest()
    assert any(note.startswith("7 classes as in the file") for note in found.notes)
    assert capfd.readouterr() == ("", "")


def test_its_values_are_plain(file: Path) -> None:
    """They go through JSON and come back the same, but for tuples."""
    values = certify_file(str(file), "densenetbc_digits").values()
    again = json.loads(json.dumps(values))
    assert again == {**again, "file": str(file), "equal": True, "differences": []}
    assert sorted(again) == sorted(values)


def test_a_spec_that_is_no_file_has_no_digest_of_one(file: Path) -> None:
    """It may have been changed since it was read."""
    found = certify_file(file, load_spec("densenetbc_digits"))
    assert found.is_equal
    assert found.spec_file is None
    assert "spec_sha256" not in found.values()


@pytest.mark.parametrize(
    ("overrides", "code"),
    [
        (["block_config=[4, 3]"], "R101"),
        ({"growth_rate": 8}, "R104"),
        (["head.num_classes=10"], "R104"),
    ],
)
def test_another_network_is_told_and_not_raised(
    file: Path, overrides: list[str] | dict[str, int], code: str
) -> None:
    """Each difference has its code."""
    found = certify_file(file, "densenetbc_digits", overrides)
    assert not found.is_equal
    assert code in {difference.code for difference in found.differences}
    assert found.liveness is None


def test_layers_are_run_where_that_is_asked_for(file: Path) -> None:
    """ONNX Runtime confirms all that the weights say."""
    probe = certify_file(file, "densenetbc_digits", probe=True).probe
    assert probe is not None
    assert probe.confirmed == probe.connections > 2 * EDGES


@pytest.mark.parametrize(
    ("name", "content", "spec", "probe", "code"),
    [
        ("no.onnx", None, "densenetbc_digits", False, "R005"),
        ("text.onnx", b"name: x\n", "densenetbc_digits", False, "R006"),
        ("x.mindir", b"\n\x031.1\x12\tMindSpore", "densenetbc_digits", True, "R006"),
        ("x.onnx", b"\x08\x08", "no_such_spec", False, "S010"),
    ],
)
def test_what_cannot_be_certified_is_raised(
    name: str, content: bytes | None, spec: str, probe: bool, code: str, tmp_path: Path
) -> None:
    """With its code, for a program to handle."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ArchspecError) as caught:
        certify_file(tmp_path / name, spec, probe=probe)
    assert [fault.code for fault in caught.value.diagnostics] == [code]
    assert isinstance(caught.value, SpecError if code == "S010" else ModelFileError)
