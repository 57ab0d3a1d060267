"""The file for sbatch: as it is written, and under a Slurm that runs."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from conftest import TINY, densenet, passed
from slurm_cluster import start_cluster

from archspec.train.cluster.job import Job
from archspec.train.cluster.slurm import read_minutes, write_sbatch

ROOT = Path(__file__).parents[3]
IMAGENET = ("densenet121", "--data-dir", "my data/IMAGENET", "--device-target", "Ascend")
TWO_MACHINES = Job("densenet121", IMAGENET, None, nodes=2, devices=8, cpus=96, resource="npu")
JOBS = {
    "two machines": TWO_MACHINES,
    "one process": Job("net", ("net.yaml", "--out", "runs/it's $HOME"), "runs/it's $HOME"),
    "a run that goes on": Job("run", ("--resume", "run"), None, resumes=True, nodes=3, cpus=4),
}
# SC2016 doubts dollars in quotes: those of the user's words are meant.
LOOKS = [["bash", "-n"], ["shellcheck", "--exclude=SC2016"]]


def test_the_file_says_what_it_is_expected_to():
    """RENEW_GOLDEN=1 writes it anew."""
    golden = ROOT / "tests/golden/launch_slurm.sbatch"
    text = write_sbatch(TWO_MACHINES, time="2-00:00:00", partition="npu", account="vision")
    if os.environ.get("RENEW_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize(
    ("time", "minutes"),
    [
        *[("90", 90), ("90:30", 90.5), ("24:00:00", 1440), ("1:02:30", 62.5)],
        *[("2-12", 3600), ("1-05:30", 1770), ("0-01:00:30", 60.5), ("0-0", 0), ("00:00:00", 0)],
    ],
)
def test_a_limit_is_read_as_slurms_manual_has_it(time, minutes):
    """sbatch(1): minutes, minutes:seconds, hours:minutes:seconds, days-hours and so on."""
    assert read_minutes(time) == minutes


@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
@pytest.mark.parametrize("program", LOOKS, ids=["bash", "shellcheck"])
def test_a_shell_finds_nothing_wrong_with_it(job, program, tmp_path):
    """Nor does the program that looks for what shells do not find, where it is installed."""
    if shutil.which(program[0]) is None:
        pytest.skip(f"{program[0]} is not installed")
    file = tmp_path / "train.sbatch"
    file.write_text(write_sbatch(job))
    done = subprocess.run([*program, file], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("has_begun", [False, True])
@pytest.mark.parametrize("job", JOBS.values(), ids=JOBS)
def test_the_words_arrive_whole_with_their_place_and_a_run_goes_on(job, has_begun, tmp_path):
    """As bash, srun and the job's own number make them of the file, whatever is in the words."""
    (tmp_path / "bin").mkdir()
    for name, script in {
        "srun": 'while [ "$1" != densenet ] && [ "$1" != bash ]; do shift; done\nexec "$@"',
        "scontrol": "echo first; echo second",
        "densenet": 'printf "%s\\n" "$@"',
    }.items():
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    out = job.out or f"runs/{job.name}-31234"
    if has_begun:
        (tmp_path / out).mkdir(parents=True)
        (tmp_path / out / "run.json").touch()
    done = subprocess.run(
        ["bash"],
        input=write_sbatch(job),
        cwd=tmp_path,
        env={
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            "SLURM_JOB_ID": "31234",
            "SLURM_NODEID": "1",
            "SLURM_JOB_NODELIST": "",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    words = ["train", *job.words]
    if has_begun and not job.resumes:
        words = ["train", "--resume", out]
    elif not job.resumes:
        words += ["--devices", str(job.devices)] if job.devices > 1 else []
        words += ["--out", out] if job.out is None else []
    if job.nodes > 1:
        words += ["--nodes", str(job.nodes), "--node-rank", "1", "--master", "first:21234"]
    assert done.stdout.splitlines() == words


@pytest.fixture
def cluster(tmp_path):
    with start_cluster(tmp_path / "cluster") as cluster:
        # The programs of this Python, and the library that is tested.
        (cluster.folder / "bin").mkdir()
        densenet = cluster.folder / "bin" / "densenet"
        densenet.write_text(f'#!/bin/sh\nexec {sys.executable} -m densenet_cli "$@"\n')
        densenet.chmod(0o755)
        cluster.environment["PATH"] = f"{densenet.parent}:{os.environ['PATH']}"
        cluster.environment["PYTHONPATH"] = str(ROOT)
        yield cluster


def submit(cluster, *words):
    """Write the file and hand it to Slurm; the job's number, its log and its run."""
    arguments = ("launch-script", "--slurm", "--devices", 2, "-o", "jobs/train.sbatch", "--")
    passed(densenet(*arguments, *TINY, *words, cwd=cluster.folder))
    job = cluster.run("sbatch", "--parsable", "jobs/train.sbatch").strip()
    name = f"densenetbc_digits-{job}"
    return job, cluster.folder / f"{name}.log", cluster.folder / "runs" / name


def processes_of(folder):
    """The processes that work in a folder: those of the jobs there."""
    return [
        process.info["cmdline"]
        for process in psutil.process_iter(["cwd", "cmdline"])
        if process.info["cwd"] == str(folder)
    ]


@pytest.mark.slow
def test_two_processes_train_under_slurm_to_the_end(cluster):
    """The file is written, submitted, run, and says where the run is."""
    job, log, run = submit(cluster, "--epochs", 2)
    assert cluster.wait_for(job, "COMPLETED", "FAILED") == "COMPLETED", log.read_text()
    assert f"Next: densenet validate {run}" in log.read_text()
    assert (run / "workers" / "worker_1.log").is_file()
    assert (run / "checkpoints" / "best.ckpt").is_file()


def wait_for_epoch(run, log):
    deadline = time.monotonic() + 300
    while not (run / "checkpoints" / "last.ckpt").is_file():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


@pytest.mark.slow
def test_a_job_that_slurm_ends_saves_and_goes_on_when_it_is_run_again(cluster):
    """Once told before its time is over, which has it queued again by itself; once by scancel,
    which has not. Nothing is left of either.
    """
    job, log, run = submit(cluster, "--epochs", 200)
    wait_for_epoch(run, log)
    # What --signal does when the time is nearly over.
    cluster.run("scancel", "--signal=TERM", job)
    assert cluster.wait_for(job, "PENDING", "FAILED") == "PENDING", log.read_text()
    first = log.read_text()
    assert f"Go on with: densenet train --resume {run}" in first
    assert processes_of(cluster.folder) == []
    # Slurm waits two minutes; within the second, it would take the job for the one that it ended.
    cluster.run("scontrol", "update", f"JobId={job}", "StartTime=now+3seconds")
    cluster.wait_for(job, "RUNNING", "FAILED")
    deadline = time.monotonic() + 300
    while not re.search(r"(?m)^epoch +\d+/200", log.read_text().removeprefix(first)):
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
    cluster.run("scancel", job)
    assert cluster.wait_for(job, "CANCELLED", "COMPLETED", "FAILED") == "CANCELLED"
    assert processes_of(cluster.folder) == []
    assert log.read_text().count("Interrupted. Go on with") == 2
