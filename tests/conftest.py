"""What tests of the command line share: the command in a process of its own,
and one trained run.
"""

import fcntl
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from warm_process import WARM, WarmProcess, is_read_at_start

ROOT = Path(__file__).resolve().parents[1]
NOISE = ("Traceback", "[WARNING]", "[ERROR]", "[CRITICAL]", "total_instance_count")
EPOCHS_OF_DIGITS_RUN = 4
TINY = ("--set", "block_config=[1, 1]", "--set", "growth_rate=4")
SMALL_RUN = (
    *TINY,
    "--set",
    "recipe.schedule.kind=constant",
    "--set",
    "recipe.log_every=8",
    "--epochs",
    2,
)
PATIENCE_SECONDS = 600

# A busy machine is no fault: no example has a deadline.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


def pytest_configure() -> None:
    """One cache folder for all tests and their processes, away from the user's:
    each network is certified once.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        os.environ["DENSENET_CACHE"] = tempfile.mkdtemp(prefix="densenet-cache-")
    # xdist tells its workers how wide the screen is, and what they start would fold its tables.
    os.environ.pop("COLUMNS", None)


def pytest_collection_finish() -> None:
    """MindSpore collects garbage each time it compiles: what thousands of collected tests hold is
    not looked through each time, which took as long as all else that their compiling takes.
    """
    set_aside()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Nor is what the tests of a file have left, once that is done: modules, caches, records."""
    yield
    if nextitem is None or nextitem.path != item.path:
        set_aside()


def set_aside() -> None:
    """Drop what is garbage now; the rest is not looked through again."""
    gc.collect()
    gc.freeze()


def densenet(
    *arguments: object, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run `densenet` with arguments in a process of its own; `env` is added to the environment.
    Where that is nothing that an interpreter reads at its start, one that has imported MindSpore
    is forked.
    """
    own = {**os.environ, **(env or {})}
    warm = WARM.get((env or {}).get("PYTHONPATH", ""))
    if warm is None or is_read_at_start(env or {}):
        return run_anew(*arguments, cwd=cwd, env=own)
    words = list(map(str, arguments))
    return warm.run(words, cwd or Path.cwd(), own, PATIENCE_SECONDS)


def run_anew(
    *arguments: object, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run `densenet` in an interpreter that is started for it, with this environment or ours."""
    return subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "densenet_cli", *map(str, arguments)]


def started(*arguments: object, cwd: Path) -> "subprocess.Popen[str]":
    """Start `densenet` and return at once; Ctrl-C reaches it even
    where the test run itself ignores it.
    """
    return subprocess.Popen(
        command(*arguments),
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def wait_until(holds: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    """Wait for something that the process does; fail where it ends or takes too long instead."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.02)


def passed(done: "subprocess.CompletedProcess[str]") -> str:
    """Assert that a command ended well and without noise, and return what it printed."""
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert not [word for word in NOISE if word in done.stdout]
    return done.stdout


def refused(done: "subprocess.CompletedProcess[str]", *words: object) -> str:
    """Assert that a command ended with 1
    and says these words in lines of its own; return the lines.
    """
    assert done.returncode == 1, done.stdout + done.stderr
    assert not [word for word in NOISE if word in done.stdout + done.stderr]
    assert not [str(word) for word in words if str(word) not in done.stderr], done.stderr
    return done.stderr


def run_once(
    tmp_path_factory: pytest.TempPathFactory, name: str, words: tuple[object, ...]
) -> "tuple[Path, subprocess.CompletedProcess[str]]":
    """Run `densenet` in a folder of that name, once for all processes of this test run;
    the folder, and how the command ended. Nobody may change what lies there.
    """
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    folder, record = root / name, root / f"{name}.json"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not record.exists():
            folder.mkdir()
            done = run_anew(*words, cwd=folder)
            record.write_text(json.dumps([done.args, done.returncode, done.stdout, done.stderr]))
    return folder, subprocess.CompletedProcess(*json.loads(record.read_text()))


@pytest.fixture(scope="session")
def digits_training(
    tmp_path_factory: pytest.TempPathFactory,
) -> "tuple[Path, subprocess.CompletedProcess[str]]":
    """Train the default network for a few epochs, once;
    the run directory, and how the command ended.
    """
    words = ("train", "--epochs", EPOCHS_OF_DIGITS_RUN, "--out", "run")
    folder, done = run_once(tmp_path_factory, "digits", words)
    return folder / "run", done


@pytest.fixture(scope="session")
def digits_run(digits_training: "tuple[Path, subprocess.CompletedProcess[str]]") -> Path:
    """Return the run directory of the default network, trained for a few epochs."""
    path, done = digits_training
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run directory of two epochs
    of a very small network on the digits, at a constant rate.
    """
    folder, done = run_once(tmp_path_factory, "small", ("train", *SMALL_RUN, "--out", "run"))
    passed(done)
    return folder / "run"


@pytest.fixture(scope="session")
def no_mindspore(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Return an environment in which importing mindspore fails."""
    folder = tmp_path_factory.mktemp("blocked")
    (folder / "mindspore.py").write_text("raise RuntimeError('mindspore was imported')\n")
    paths = (str(folder), os.environ.get("PYTHONPATH", ""))
    blocked = {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    WARM[blocked["PYTHONPATH"]] = WarmProcess({**os.environ, **blocked}, "networkx")
    return blocked


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of photographs and published facts beside the project's root."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"there is no folder {folder.name} beside the project's root")
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KB of its own: room for a run's small files
    and less than two epochs' checkpoints.
    """
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small file system")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no small file system can be mounted here: {done.stderr.strip()}")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def full_disk(small_disk: Path) -> Path:
    """Return a file system of 64 KB, all but 8 of them taken."""
    (small_disk / "others").write_bytes(bytes(56 * 1024))
    return small_disk
