"""MindSpore finds the right environment, or is said to be missing."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from archspec.errors import EnvironmentFault
from archspec.runtime import as_the_user_set_it, import_mindspore, prepare

VARIABLES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "GLOG_v")


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that monkeypatch also takes back what prepare() sets
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("clean_environment")
def test_prepare_avoids_the_slow_convolution_kernel_on_x86(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a setting of the user's, oneDNN is capped at AVX2 and MindSpore logs only errors."""
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    prepare()
    prepare()
    assert [os.environ.get(name) for name in VARIABLES] == ["AVX2", None, "3"]


@pytest.mark.usefixtures("clean_environment")
def test_prepare_leaves_other_processors_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """An Arm server gets no x86 instruction set."""
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    prepare()
    assert [os.environ.get(name) for name in VARIABLES] == [None, None, "3"]


@pytest.mark.usefixtures("clean_environment")
@pytest.mark.parametrize("name", ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"])
def test_prepare_lets_the_users_setting_win(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who asked for AVX-512, by the new or the old name, and for a verbose log gets both."""
    monkeypatch.setenv(name, "AVX512_CORE")
    monkeypatch.setenv("GLOG_v", "1")
    prepare()
    set_names = {key: os.environ[key] for key in VARIABLES if key in os.environ}
    assert set_names == {name: "AVX512_CORE", "GLOG_v": "1"}


@pytest.mark.usefixtures("clean_environment")
@pytest.mark.parametrize("theirs", [None, "AVX2"])
def test_others_read_the_environment_as_the_user_set_it(
    theirs: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO would be bound by what is set for MindSpore; what a user set binds both."""
    monkeypatch.setattr("archspec.runtime._SET_FOR_MINDSPORE", {})
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    if theirs:
        monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", theirs)
    prepare()
    with as_the_user_set_it():
        assert os.environ.get("ONEDNN_MAX_CPU_ISA") == theirs
    assert os.environ["ONEDNN_MAX_CPU_ISA"] == "AVX2"


def test_prepare_says_how_to_get_mindspore(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without MindSpore is told so, with the command that cures it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        EnvironmentFault, match=r"E001 MindSpore is not installed \(pip install 'mindspore[>=]"
    ):
        prepare()


MEANWHILE = """
import sys
from archspec.runtime import import_mindspore_meanwhile

with import_mindspore_meanwhile():
    found = "done"
print(found, "mindspore" in sys.modules)
"""


def test_mindspore_is_imported_while_something_else_is_waited_for() -> None:
    """Behind the block it is there, and nobody imports it a second time."""
    done = subprocess.run([sys.executable, "-c", MEANWHILE], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("done True\n", "")


def test_what_is_wrong_with_mindspore_is_not_told_meanwhile(tmp_path: Path) -> None:
    """What the block gives is given; who uses MindSpore after it meets the fault again."""
    (tmp_path / "mindspore.py").write_text("raise OSError('libmindspore_core.so is missing')\n")
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH", ""))))
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-c", MEANWHILE]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.stdout, done.stderr) == ("done False\n", "")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("raise OSError('libmindspore_core.so is missing')", "libmindspore_core.so is missing"),
        ("raise ImportError('first\\nsecond')", "first"),
        ("import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
        ("assert False", "AssertionError"),
    ],
)
def test_a_mindspore_that_cannot_be_imported_is_told_in_a_line(
    text: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its libraries raise what they like."""
    (tmp_path / "mindspore.py").write_text(f"{text}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mindspore", raising=False)
    with pytest.raises(EnvironmentFault) as caught:
        import_mindspore()
    (told,) = caught.value.diagnostics
    assert told.code == "E001"
    assert told.message == f"MindSpore is installed and cannot be imported: {reason}"
    assert "python -c 'import mindspore'" in told.hint
