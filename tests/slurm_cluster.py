"""A Slurm cluster of this machine alone, for as long as a test lasts, as Debian's slurm-wlm allows
root: without munge, and with a configuration of its own.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "scontrol")
CONFIGURATION = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/none
CredType=cred/none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
MailProg=/bin/true
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
SECONDS = 300


class Cluster:
    """The commands of its users."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}

    def run(self, *words: object) -> str:
        done = subprocess.run(
            [*map(str, words)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def state_of(self, job: str) -> str:
        shown = self.run("scontrol", "show", "job", job)
        return shown.partition("JobState=")[2].partition(" ")[0]

    def wait_for(self, job: str, *states: str) -> str:
        deadline = time.monotonic() + SECONDS
        while (state := self.state_of(job)) not in states:
            assert time.monotonic() < deadline, (state, self.run("scontrol", "show", "job", job))
            time.sleep(0.2)
        return state


@contextmanager
def start_cluster(folder: Path) -> Iterator[Cluster]:
    """Start its daemons in a folder; however the block ends, neither they nor a job are left."""
    missing = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if missing:
        pytest.skip(f"Slurm is not installed: {', '.join(missing)} (Debian: slurm-wlm)")
    if os.geteuid() != 0:
        pytest.skip("slurmd without munge runs as root alone")
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    text = CONFIGURATION.format(
        host=socket.gethostname(), ports=_free_ports(), folder=folder, cpus=os.cpu_count()
    )
    (folder / "slurm.conf").write_text(text)
    cluster, daemons = Cluster(folder), []
    try:
        for name in ("slurmctld", "slurmd"):
            with (folder / f"{name}.log").open("wb") as log:
                words = [shutil.which(name, path=_path()), "-D"]
                daemons.append(
                    subprocess.Popen(words, env=cluster.environment, stdout=log, stderr=log)
                )
        _wait_until_idle(cluster)
        yield cluster
    finally:
        _end(cluster, daemons)


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])


def _free_ports() -> list[int]:
    with socket.socket() as first, socket.socket() as second:
        for listener in (first, second):
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in (first, second)]


def _wait_until_idle(cluster: Cluster) -> None:
    deadline = time.monotonic() + 60
    words = ["sinfo", "--noheader", "--format=%t"]
    while True:
        done = subprocess.run(
            words, env=cluster.environment, capture_output=True, text=True, check=False
        )
        if done.stdout.strip() == "idle":
            return
        logs = [path.read_text(errors="replace")[-2000:] for path in cluster.folder.glob("*.log")]
        assert time.monotonic() < deadline, (done, logs)
        time.sleep(0.2)


def _end(cluster: Cluster, daemons: "list[subprocess.Popen[bytes]]") -> None:
    subprocess.run(
        ["scancel", "--signal=KILL", "--full", "--user=root"],
        env=cluster.environment,
        timeout=60,
        check=False,
    )
    for daemon in reversed(daemons):
        daemon.send_signal(signal.SIGTERM)
        try:
            daemon.wait(30)
        except subprocess.TimeoutExpired:
            daemon.kill()
            daemon.wait()
