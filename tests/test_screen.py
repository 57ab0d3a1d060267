"""A quiet screen: what runs in a block is silent there, and all of it stands in the log."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from archspec.errors import EnvironmentFault
from archspec.screen import divert_output

ROOT = Path(__file__).resolve().parents[1]

NOISY_TRAINING = """
import builtins, ctypes, os, sys, warnings
from pathlib import Path
from archspec.runtime import prepare
from archspec.screen import divert_output

class AtExit:
    def __del__(self):
        raise AttributeError("'NoneType' object has no attribute 'total_instance_count'")

print("before")
prepare()
with divert_output(Path(sys.argv[1])) as console:
    import numpy as np
    import mindspore as ms
    from mindspore import Tensor, nn

    class Net(nn.Cell):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3, pad_mode="same", has_bias=False)
            self.norm = nn.BatchNorm2d(4)

        def construct(self, images):
            return self.norm(self.conv(images))

    ms.set_context(mode=ms.GRAPH_MODE)
    net = builtins.kept_to_the_end = Net()
    shape = net(Tensor(np.ones((1, 3, 8, 8), np.float32))).shape
    os.write(2, b"from descriptor 2\\n")
    ctypes.CDLL(None).puts(b"from C's buffer")
    print("from print")
    ms.log.error("from MindSpore's logger")
    warnings.warn("from a warning")
    console.print(f"shape {shape}")
builtins.last = AtExit()
print("after")
if sys.argv[2:] == ["bug"]:
    raise ZeroDivisionError("a real bug")
"""

NO_MINDSPORE = """
import sys
from pathlib import Path
from archspec.screen import divert_output
with divert_output(Path(sys.argv[1])) as console:
    print("hidden")
    console.print(console.is_terminal, console.width, highlight=False)
    raise KeyError("inside")
"""


def run(script: str, tmp_path: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    program = tmp_path / "program.py"
    program.write_text(script, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(program), *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_only_the_console_reaches_the_screen(tmp_path: Path) -> None:
    """A net that runs in a quiet block, noise from Python,
    C and the interpreter's exit: all in the log.
    """
    log = tmp_path / "logs" / "run.log"
    done = run(NOISY_TRAINING, tmp_path, str(log))
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "before\nshape (1, 4, 8, 8)\nafter\n",
        "",
    )
    noise = (
        "descriptor 2",
        "C's buffer",
        "from print",
        "MindSpore's logger",
        "from a warning",
        "total_instance",
    )
    text = log.read_text(encoding="utf-8")
    assert [part for part in noise if part not in text] == []
    assert "shape (1" not in text


@pytest.mark.slow
def test_a_real_bug_still_shows_its_traceback(tmp_path: Path) -> None:
    """After a quiet block an uncaught error is printed as always, and nothing but it."""
    done = run(NOISY_TRAINING, tmp_path, str(tmp_path / "run.log"), "bug")
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last)")
    assert done.stderr.endswith("ZeroDivisionError: a real bug\n")


def test_an_error_inside_the_block_reaches_the_screen(tmp_path: Path) -> None:
    """The descriptors are back before Python prints the traceback;
    the log is appended to, not replaced.
    """
    log = tmp_path / "run.log"
    log.write_text("earlier\n", encoding="utf-8")
    done = run(NO_MINDSPORE, tmp_path, str(log))
    assert done.stderr.endswith("KeyError: 'inside'\n")
    assert done.stdout.startswith("False ")
    assert log.read_text(encoding="utf-8") == "earlier\nhidden\n"


@pytest.mark.parametrize(("columns", "found"), [(133, "133"), (0, "80")])
def test_a_terminal_is_still_known_as_one(columns: int, found: str, tmp_path: Path) -> None:
    """With the screen on a terminal the console knows it and its width,
    though descriptor 1 is the log; one without a width, such as mpirun's, is no screen of none.
    """
    program = tmp_path / "program.py"
    program.write_text(NO_MINDSPORE, encoding="utf-8")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "NO_COLOR": "1"}
    environment.pop("COLUMNS", None)
    subprocess.run(["stty", "cols", str(columns)], stdin=theirs, check=True)
    command = [sys.executable, str(program), str(tmp_path / "run.log")]
    subprocess.run(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(theirs)
    assert os.read(ours, 1000).decode().split()[:2] == ["True", found]
    os.close(ours)


def test_a_log_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """A file where the log's folder should be: one diagnostic that names the path."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    with (
        pytest.raises(EnvironmentFault, match=r"file/run\.log E002 the log cannot be written"),
        divert_output(tmp_path / "file" / "run.log"),
    ):
        pass


def test_a_captured_stdout_gets_the_consoles_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where sys.stdout is no descriptor (a notebook, a test runner),
    the console writes to that object.
    """
    with divert_output(tmp_path / "run.log") as console:
        console.print("hello")
        os.write(2, b"noise\n")
    assert capsys.readouterr().out == "hello\n"
    assert (tmp_path / "run.log").read_text(encoding="utf-8") == "noise\n"
