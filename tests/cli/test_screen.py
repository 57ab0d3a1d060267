"""A screen that takes no more, cannot show a character or is not there,
and a folder that is gone.
"""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import NOISE, PATIENCE_SECONDS, ROOT, TINY, command, densenet, refused, started

FULL = "E006 cannot write to the screen: No space left on device\n"
COMMANDS = [
    ("list",),
    ("inspect", "densenetbc_digits"),
    ("inspect", "densenetbc_digits", "--json"),
    ("inspect", "densenetbc_digits", "--yaml"),
    ("check", "densenetbc_digits"),
    ("train", "--dry-run"),
    ("--help",),
    ("--version",),
]


def in_shell(line: str, *arguments: object, cwd: Path) -> "subprocess.CompletedProcess[str]":
    """Run a line of bash in which "$@" is the command with these arguments."""
    words = ["bash", "-c", line, "bash", *command(*arguments)]
    return subprocess.run(
        words,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
        env=dict(os.environ),
    )


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_a_full_disk_behind_the_screen_is_one_line(arguments, tmp_path):
    """Exit code 1, and no words of the interpreter's at its end."""
    done = in_shell('"$@" > /dev/full', *arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, FULL)
    assert not list(tmp_path.iterdir())


def test_a_file_that_may_not_grow_is_one_line(tmp_path):
    """The output goes into a file that reaches the limit of its size half-way."""
    (tmp_path / "text").write_text("x" * 900)
    done = in_shell("trap '' XFSZ; ulimit -f 1; exec \"$@\" >> text", "list", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        1,
        "E006 cannot write to the screen: File too large\n",
    )
    assert (tmp_path / "text").stat().st_size == 1024


@pytest.mark.parametrize("arguments", [("list",), ("train", "--epochs", "1")], ids=" ".join)
def test_a_closed_screen_is_said_before_anything_is_done(arguments, tmp_path):
    """Nobody would see what the command finds."""
    done = in_shell('"$@" >&-', *arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        1,
        "E006 cannot write to the screen: standard output is closed\n",
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("to", ["2>&-", "2>/dev/full"])
def test_errors_that_nobody_can_read_still_end_with_1(to, tmp_path):
    """And are not written elsewhere."""
    done = in_shell(f'"$@" {to}', "check", "nothing", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


@pytest.mark.slow
def test_what_libraries_print_lands_in_no_file_of_a_run_whose_other_streams_are_closed(tmp_path):
    """Descriptors 0 and 2 would be taken by the first files that are opened."""
    done = in_shell('"$@" <&- 2>&-', "train", *TINY, "--epochs", 1, "--out", "run", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.endswith(f"Next: densenet validate {tmp_path}/run\n")
    done = densenet("validate", "run", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("reader", "arguments"),
    [
        ("true", ("inspect", "densenet121")),
        pytest.param("read -r line", ("train", "--devices", "2"), marks=pytest.mark.slow),
    ],
)
def test_a_reader_that_goes_away_ends_the_command_quietly(reader, arguments, tmp_path):
    """As SIGPIPE ends others, before the first line or behind it; several processes leave nothing
    running.
    """
    done = in_shell(f'set -o pipefail; "$@" | {{ {reader}; }}', *arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGPIPE, "", "")


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("latin-1", marks=pytest.mark.slow)])
def test_characters_that_the_screen_lacks_are_replaced(encoding, tmp_path):
    """Names of files and classes may hold any; boxes are drawn in plain characters."""
    (tmp_path / "плотная.yaml").write_text((ROOT / "specs" / "densenetbc_digits.yaml").read_text())
    for arguments in (
        ("check", "плотная.yaml"),
        ("inspect", "плотная.yaml"),
        ("list",),
        ("inspect", "--help"),
    ):
        done = subprocess.run(
            command(*arguments),
            cwd=tmp_path,
            env={**os.environ, "PYTHONIOENCODING": encoding},
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b"")
    done = densenet("check", "плотная.yaml", cwd=tmp_path, env={"PYTHONIOENCODING": encoding})
    assert done.stdout.startswith("???????.yaml: right")


@pytest.mark.parametrize(
    "arguments", [("list",), ("train", "--epochs", "1"), ("build", "densenet121")], ids=" ".join
)
def test_a_folder_that_is_gone_is_one_line(arguments, tmp_path):
    """The one in which the command is run."""
    done = in_shell('mkdir gone && cd gone && rmdir ../gone && "$@"', *arguments, cwd=tmp_path)
    assert refused(done, "E007 the working directory cannot be used: No such file").count("\n") == 1
    assert not [word for word in NOISE if word in done.stdout]


def test_an_interrupt_at_once_is_no_traceback(tmp_path):
    """Before a run directory is made there is nothing to say."""
    process = started("train", "--out", "run", cwd=tmp_path)
    process.send_signal(signal.SIGTERM)
    text, errors = process.communicate()
    assert process.returncode in (-signal.SIGTERM, 128 + signal.SIGTERM)
    assert (text, errors) == ("", "")
    assert not list(tmp_path.iterdir())
