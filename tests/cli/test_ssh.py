"""One command that trains on several machines over ssh: each machine, a network namespace, has a
server of its own, with keys that live as long as the test.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import TINY
from two_machines import finish, has_epochs, join_machines, wait_for

SERVER = """
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
"""
CLIENT = """
Host *
  IdentityFile {folder}/key
  UserKnownHostsFile {folder}/known
  StrictHostKeyChecking no
  LogLevel ERROR
"""


@pytest.fixture
def cluster(tmp_path):
    """Two machines with ssh servers, the folder with a hostfile, and a shell's words to set up."""
    server = shutil.which("sshd", path="/usr/sbin:/usr/bin")
    if server is None or shutil.which("ssh") is None:
        pytest.skip("there is no OpenSSH server and client here")
    keys = tmp_path / "keys"
    keys.mkdir()
    for name in ("host_key", "key"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)]
        subprocess.run(make, check=True)
    (keys / "server").write_text(SERVER.format(folder=keys))
    (keys / "client").write_text(CLIENT.format(folder=keys))
    ssh = keys / "ssh"  # the user's own configuration is no test's
    ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {keys}/client "$@"\n')
    ssh.chmod(0o755)
    Path("/run/sshd").mkdir(exist_ok=True)
    with join_machines() as machines:
        servers = []
        for machine in machines:
            start = ["ip", "netns", "exec", machine.name, server, "-D", "-f", str(keys / "server")]
            servers.append(subprocess.Popen(start, env={}, stderr=subprocess.DEVNULL))
        hosts = [f"{machine.address} slots=1\n" for machine in machines]
        (tmp_path / "hosts").write_text("# two machines\n" + "".join(hosts))
        yield Cluster(tmp_path, keys, machines)
        for process in servers:
            process.kill()
            process.wait()


class Cluster:
    """What the tests start on it, and what is left of that."""

    def __init__(self, folder, keys, machines):
        self.folder, self.machines = folder, machines
        self.path = f"{keys}:{os.environ['PATH']}"
        told = {name: os.environ.get(name, "") for name in ("DENSENET_CACHE", "PYTHONPATH")}
        told["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        words = [f"{name}={shlex.quote(value)}" for name, value in told.items()]
        self.setup = f"cd {folder} && export {' '.join(words)}"

    def start(self, *words):
        """`densenet train` for all of them, from the first of them."""
        ssh = ("--hostfile", "hosts", "--ssh", "--ssh-setup", self.setup)
        return self.machines[0].start("train", *words, *ssh, cwd=self.folder, PATH=self.path)

    def left(self):
        """What runs on the machines beside their servers."""
        found = []
        for machine in self.machines:
            found += [pid for pid, told in machine.list_processes().items() if "PATH" in told]
        return [pid for pid in found if b"sshd" not in Path(f"/proc/{pid}/cmdline").read_bytes()]


NEW = (*TINY, "--out", "run")


@pytest.mark.slow
def test_one_command_trains_on_both_machines_and_shows_each(cluster):
    """What each prints has its host before it, and nothing is left."""
    ((code, text, errors),) = finish(cluster.start(*NEW, "--epochs", 2))
    assert (code, errors) == (0, "")
    first, second = (machine.address for machine in cluster.machines)
    assert f"\n{first}: epoch 2/2  loss " in text
    assert f"\n{second}: node 1 of 2 is done. Run: " in text
    assert "densenet begins" not in text  # what only the two ends tell each other
    assert cluster.left() == []


@pytest.mark.slow
def test_what_is_wrong_on_node_0_is_told_and_the_node_that_waits_for_it_ends(cluster):
    """Nothing was made."""
    ((code, text, errors),) = finish(cluster.start(*NEW, "--lr", "-1"))
    first, second = (machine.address for machine in cluster.machines)
    assert code == 1
    assert f"{first}: " in errors
    assert "S004 schedule.learning_rate (=-1" in errors
    assert f"{second}: node 1 of 2 waits for node 0 at {first}:8118" in text
    assert f"{second}: Interrupted.\n" in text
    assert not (cluster.folder / "run").exists()
    assert cluster.left() == []


@pytest.mark.slow
def test_a_worker_that_is_killed_is_blamed_by_all_machines(cluster):
    """Each has the time to say whose it was."""
    process = cluster.start(*NEW, "--epochs", 1000)
    wait_for(has_epochs(cluster.folder / "run", 1), process)
    os.kill(cluster.machines[1].find_worker(), signal.SIGKILL)
    ((code, _, errors),) = finish(process)
    first, second = (machine.address for machine in cluster.machines)
    assert code == 1
    blamed = [line for line in errors.splitlines() if "rank 1 was ended by SIGKILL" in line]
    assert {line.partition(": ")[0] for line in blamed} == {first, second}
    assert cluster.left() == []


@pytest.mark.slow
def test_hosts_may_be_named_by_ipv6_addresses(cluster):
    """With and without brackets; node 0 is found by one, and processes by them find each other."""
    first, second = (machine.ipv6 for machine in cluster.machines)
    (cluster.folder / "hosts").write_text(f"[{first}] slots=1\n{second} slots=1\n")
    ((code, text, errors),) = finish(cluster.start(*NEW, "--epochs", 2))
    assert (code, errors) == (0, "")
    assert f"--node-rank 1 --master '[{first}]:8118'\n" in text
    assert f"\n{first}: epoch 2/2  loss " in text
    assert f"\n{second}: node 1 of 2 is done. Run: " in text
    assert cluster.left() == []


@pytest.mark.slow
def test_ctrl_c_reaches_all_machines_and_the_run_goes_on(cluster):
    """With the command's own words and --resume; SIGTERM does the same."""
    process = cluster.start(*NEW, "--epochs", 100)
    wait_for(has_epochs(cluster.folder / "run", 1), process)
    process.send_signal(signal.SIGINT)
    ((code, text, _),) = finish(process)
    assert code == 130
    first, second = (machine.address for machine in cluster.machines)
    go_on = f"densenet train --resume {cluster.folder}/run --hostfile hosts --ssh --ssh-setup"
    assert f"\n{first}: Interrupted. Go on with: {go_on}" in text
    assert f"\n{second}: Interrupted.\n" in text
    assert text.count("Go on") == 1
    assert cluster.left() == []
    done = (cluster.folder / "run/metrics.jsonl").read_text().count('"event": "epoch"')
    resumed = cluster.start("--resume", "run")
    wait_for(has_epochs(cluster.folder / "run", done + 1), resumed)
    resumed.send_signal(signal.SIGTERM)
    assert finish(resumed)[0][0] == 143


@pytest.mark.slow
@pytest.mark.parametrize("what", ["launcher", "connection"])
def test_machines_end_by_themselves_when_who_watches_them_is_killed(what, cluster):
    """SIGKILL of the launcher, or of the ssh to node 1: training is saved, nothing is left."""
    process = cluster.start(*NEW, "--epochs", 1000)
    wait_for(has_epochs(cluster.folder / "run", 1), process)
    if what == "launcher":
        process.kill()
    else:
        second = cluster.machines[1].address
        done = subprocess.run(["pgrep", "-f", f"ssh .*{second}"], capture_output=True, check=True)
        here = cluster.machines[0].list_processes()
        for pid in {*map(int, done.stdout.split())} & here.keys():
            os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=120)
    deadline = time.monotonic() + 60
    while cluster.left() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert cluster.left() == []
    assert process.returncode != 0


@pytest.mark.slow
def test_a_machine_where_nothing_can_start_ends_the_others(cluster):
    """Its own words are on the screen, with the host before them."""
    cluster.setup += f" && ! hostname -I | grep -qw {cluster.machines[1].address}"
    ((code, _, _),) = finish(cluster.start(*NEW))
    assert code == 1
    assert cluster.left() == []
