"""mpirun -n N densenet train, or validate: what OpenMPI starts, and what each process does."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time

import psutil
import pytest
from conftest import ROOT, SMALL_RUN, TINY, command, densenet, passed, wait_until
from two_machines import finish, join_machines

from archspec.errors import TrainingError
from densenet_cli.mpirun import read_mpirun, refuse_unlike_mpirun
from densenet_cli.words_of_train import train_command


def place(monkeypatch, rank, world, local_rank, local_world):
    values = {"RANK": rank, "SIZE": world, "LOCAL_RANK": local_rank, "LOCAL_SIZE": local_world}
    for name, value in values.items():
        monkeypatch.setenv(f"OMPI_COMM_WORLD_{name}", str(value))


@pytest.mark.parametrize(("rank", "world", "here"), [(1, 2, 2), (15, 16, 8), (9, 16, 8)])
def test_all_but_the_first_process_of_a_machine_end_well_at_once(rank, world, here, monkeypatch):
    """They have nothing to do: the first starts as many."""
    place(monkeypatch, rank, world, rank % here, here)
    with pytest.raises(SystemExit) as stop:
        read_mpirun(["train"])
    assert stop.value.code == 0


@pytest.mark.parametrize(("rank", "world", "here"), [(0, 3, 2), (1, 16, 8), (10, 20, 4)])
def test_machines_with_unlike_numbers_of_processes_are_refused(rank, world, here, monkeypatch):
    """As are ranks that go round the machines: none could tell which one it is."""
    place(monkeypatch, rank, world, 0, here)
    with pytest.raises(TrainingError, match="T010 mpirun has put"):
        read_mpirun(["train"])


SEVERAL_MACHINES = "processes on several machines, and validate has those of one"


@pytest.mark.parametrize(
    ("words", "world", "rule", "instead"),
    [
        (["predict", "run", "a b.png"], 2, "2 processes, and predict is one", "densenet"),
        (["validate", "run", "--json"], 8, SEVERAL_MACHINES, "mpirun -n 4 densenet"),
    ],
)
def test_what_has_other_processes_is_refused_once_with_the_line_to_type(
    words, world, rule, instead, monkeypatch
):
    """By the first of all processes; the others say nothing, on whichever machine."""
    place(monkeypatch, 0, world, 0, min(world, 4))
    with pytest.raises(TrainingError) as caught:
        read_mpirun(words)
    line = f"{instead} {shlex.join(words)}"
    assert str(caught.value) == f"T010 mpirun has started {rule} ({line})"
    place(monkeypatch, world // 2, world, 0, min(world, 4))
    with pytest.raises(SystemExit) as stop:
        read_mpirun(words)
    assert stop.value.code == 0


@pytest.mark.parametrize("words", [["predict", "run", "x.png"], ["--version"], ["list"]])
def test_what_mpirun_means_nothing_to_goes_on(words, monkeypatch):
    """A process that is alone predicts, and other commands do not ask."""
    place(monkeypatch, 0, 1, 0, 1)
    assert read_mpirun(words) == {}


@pytest.mark.parametrize("words", [["list"], ["check", "x.yaml"], ["export", "run"]])
def test_what_several_processes_would_say_is_said_by_the_first(words, monkeypatch):
    """And done by it."""
    place(monkeypatch, 0, 2, 0, 2)
    assert read_mpirun(words) == {}
    place(monkeypatch, 1, 2, 1, 2)
    with pytest.raises(SystemExit) as stop:
        read_mpirun(words)
    assert stop.value.code == 0


def test_a_file_of_hosts_is_refused_beside_mpirun():
    """It would say otherwise which machines have how many processes."""
    refuse_unlike_mpirun(context_of("--hostfile", "hosts"))
    with pytest.raises(Exception, match="mpirun has started the processes, and on which"):
        refuse_unlike_mpirun(context_of("--hostfile", "hosts", devices=2))


def context_of(*words, **started):
    return train_command().make_context("train", [*map(str, words)], default_map=started)


def test_other_numbers_than_mpiruns_are_refused_in_words():
    """Those that are typed; without mpirun nothing is."""
    for words, started in (
        (("--devices", 4), {}),
        ((), {"devices": 4}),
        (("--devices", 4), {"devices": 4}),
    ):
        refuse_unlike_mpirun(context_of(*words, **started))
    context = context_of(devices=4)
    assert context.params["devices"] == 4
    with pytest.raises(Exception, match="mpirun has started this as --devices 4, not 2"):
        refuse_unlike_mpirun(context_of("--devices", 2, devices=4))


@pytest.mark.parametrize(
    ("named", "started", "words"),
    [
        ("0,1,2", 2, "0,1,2 names 3 devices, mpirun has started 2 processes here"),
        ("5", 2, "5 names 1 device, mpirun has started 2 processes here"),
        ("0,1", 1, "0,1 names 2 devices, mpirun has started 1 process here"),
    ],
)
def test_named_devices_are_as_many_as_mpiruns_processes(named, started, words):
    """Nobody has typed --devices there, so that no fault speaks of it."""
    with pytest.raises(Exception, match=words) as caught:
        refuse_unlike_mpirun(context_of("--device-ids", named, devices=started))
    assert caught.value.param_hint == "--device-ids"
    refuse_unlike_mpirun(context_of("--device-ids", named, devices=named.count(",") + 1))
    refuse_unlike_mpirun(context_of("--device-ids", named))


# ---- the real one

# What is saved within its first epoch was saved because of a signal.
LONG_EPOCH = (*("--batch-size", "1", "--set", "recipe.log_every=5", "--epochs", "2"),)


def mpirun(*words, command_name="train"):
    """A command's first words, for two processes; skips where there is no OpenMPI."""
    program = shutil.which("mpirun")
    if program is None:
        pytest.skip("mpirun is not installed (Debian: openmpi-bin)")
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    if "Open MPI" not in shown.stdout:
        pytest.skip("mpirun is not OpenMPI's")
    root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
    own = [program, *root, "--oversubscribe", "-n", "2", *words]
    return [*own, *command(command_name)]


@pytest.mark.slow
def test_two_processes_train_as_one_run_and_one_of_them_speaks(tmp_path):
    """With the marks of --tag-output; the screen has each line once, and no controls. The run is
    that of --devices 2.
    """
    words = [*mpirun("--tag-output"), *map(str, SMALL_RUN)]
    done = subprocess.run(
        [*words, "--out", "run"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert {line[:14] for line in lines} == {"[1,0]<stdout>:"}
    assert "\x1b" not in done.stdout
    assert len({*lines}) == len(lines)
    assert sum("epoch " in line for line in lines) == 2, lines
    passed(densenet("train", *SMALL_RUN, "--devices", 2, "--out", "other", cwd=tmp_path))
    last = [(tmp_path / run / "checkpoints/last.ckpt").read_bytes() for run in ("run", "other")]
    assert last[0] == last[1]


@pytest.mark.slow
def test_two_processes_judge_a_network_as_one_and_one_of_them_speaks(digits_run, tmp_path):
    """The figures of --devices 2, byte by byte; what two would only repeat is refused."""
    words = [*mpirun(command_name="validate"), str(digits_run), "--json"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    other = densenet("validate", digits_run, "--json", "--devices", 2, cwd=tmp_path)
    assert done.stdout == passed(other)
    words = [*mpirun(command_name="predict"), str(digits_run), "a b.png"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (1, "")
    told = shlex.join(["densenet", "predict", str(digits_run), "a b.png"])
    assert f"T010 mpirun has started 2 processes, and predict is one ({told})\n" in done.stderr
    assert done.stderr.count("T010") == 1


def members_of(folder):
    """What works in a folder, but for mpirun itself."""
    found = psutil.process_iter(["cwd", "name"])
    return [p for p in found if p.info["cwd"] == str(folder) and p.info["name"] != "mpirun"]


def wait_for(holds, what):
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def read(file):
    return file.read_text() if file.is_file() else ""


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["mpirun", "its process"])
def test_a_run_that_mpirun_ends_is_saved_and_goes_on(whom, tmp_path):
    """mpirun kills what it has started a second after Ctrl-C, which a run outlives; none of it is
    left then. Its processes have all cores, though mpirun binds, and do not know of it.
    """
    run = tmp_path / "run"
    words = [*mpirun("--bind-to", "core"), *TINY, *LONG_EPOCH, "--out", run.name]
    with subprocess.Popen(
        words,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        wait_until(lambda: '"step"' in read(run / "metrics.jsonl"), process)
        workers = [p for p in members_of(tmp_path) if "MS_ROLE" in p.environ()]
        assert len(workers) >= 2
        for worker in workers:
            assert worker.cpu_affinity() == psutil.Process().cpu_affinity()
            assert not [name for name in worker.environ() if name.startswith(("OMPI", "PMIX"))]
        if whom == "mpirun":
            process.send_signal(signal.SIGINT)
        else:
            (first,) = psutil.Process(process.pid).children()
            first.kill()
        said, _ = process.communicate()
    assert process.returncode != 0
    assert whom != "mpirun" or "Told to end: the run is saved" in said
    wait_for(lambda: not members_of(tmp_path), "something of the run is left")
    done = densenet("train", "--resume", run.name, "--dry-run", cwd=tmp_path)
    assert re.search(r"done: 0 of 2 epochs and [1-9]\d* of 647 steps", done.stderr), done.stderr


@pytest.mark.slow
def test_a_run_goes_on_with_as_many_processes_as_mpirun_has_started(tmp_path):
    """As with --resume and --devices."""
    run = tmp_path / "run"
    passed(densenet("train", *TINY, "--epochs", 1, "--out", run, cwd=tmp_path))
    words = [*mpirun(), "--resume", str(run), "--epochs", "2"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "starting 2 processes" in done.stdout
    assert "epoch 2/2" in done.stdout
    assert json.loads((run / "run.json").read_text())["devices"] == 2


# mpirun asks a program such as ssh to start its part of another machine.
REMOTE_SHELL = """\
#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
host=$1
shift
exec ip netns exec "$host" unshare --uts sh -c "hostname $host; $*"
"""


@pytest.mark.slow
def test_two_machines_train_under_one_mpirun(tmp_path):
    """Two processes on each: the first of each machine is a node of the run."""
    shell = tmp_path / "remote_shell"
    shell.write_text(REMOTE_SHELL)
    shell.chmod(0o755)
    with join_machines() as (first, second):
        tell = ("--mca", "oob_tcp_if_include", "cable", "--mca", "plm_rsh_agent", str(shell))
        words = [*mpirun(*tell, "-H", f"{first.name}:2,{second.name}:2", "--tag-output")]
        words[words.index("-n") + 1] = "4"
        words += [*TINY, "--epochs", "2", "--out", "run", "--master", first.address]
        # Each machine has a name of its own, by which mpirun knows where it is.
        named = ["unshare", "--uts", "sh", "-c", f"hostname {first.name} && {shlex.join(words)}"]
        ((code, said, complaints),) = finish(first.run(named, tmp_path, PYTHONPATH=str(ROOT)))
    assert code == 0, said + complaints
    assert {line[:14] for line in said.splitlines()} == {"[1,0]<stdout>:", "[1,2]<stdout>:"}
    assert "[1,2]<stdout>:node 1 of 2 is done" in said
    assert (tmp_path / "run/checkpoints/best.ckpt").is_file()
