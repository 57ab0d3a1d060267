"""A command that is interrupted while it waits for a certificate ends soon, whoever is sent the
signal, and leaves neither a process nor a folder.
"""

import os
import signal
import time

import psutil
import pytest
from conftest import command, wait_until

OTHERS_SHOW_IT = pytest.mark.slow
SOON_SECONDS = 20
"""It waits for MindSpore, which is being imported: two seconds, on a busy machine more."""


def watched(words, number, tmp_path):
    """Send a signal to the one process when its child compiles; how it ended."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    told = {**os.environ, "TMPDIR": str(folder), "DENSENET_CACHE": str(tmp_path / "cache")}
    process = psutil.Popen(
        command(*words),
        cwd=tmp_path,
        env=told,
        stdout=-1,
        stderr=-1,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_until(lambda: [*folder.glob("certify-*/network.py")] and process.children(), process)
    (child,) = process.children()
    began = time.monotonic()
    process.send_signal(number)
    said = process.communicate()
    assert time.monotonic() - began < SOON_SECONDS
    psutil.wait_procs([child], timeout=SOON_SECONDS)
    assert not child.is_running()
    assert [*folder.iterdir()] == []
    return process.returncode, said


@pytest.mark.parametrize(
    ("words", "number", "code"),
    [
        (("train", "--epochs", 1, "--out", "run"), signal.SIGINT, 130),
        pytest.param(
            ("train", "--epochs", 1, "--out", "run"), signal.SIGTERM, 143, marks=OTHERS_SHOW_IT
        ),
        pytest.param(("build", "densenet121", "-o", "b"), signal.SIGINT, 130, marks=OTHERS_SHOW_IT),
        pytest.param(("build", "densenet121", "-o", "b"), signal.SIGHUP, 129, marks=OTHERS_SHOW_IT),
    ],
)
def test_it_ends_soon_and_leaves_nothing(words, number, code, tmp_path):
    """Also where the other processes of a terminal are sent nothing."""
    found, (shown, errors) = watched(words, number, tmp_path)
    assert found == code
    assert "Traceback" not in shown + errors
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "b").exists()
