"""Two machines for tests, or more: network namespaces of this one, joined by a switch."""

import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import PATIENCE_SECONDS, command

MARK = "TWO_MACHINES_TEST"


@dataclass(frozen=True)
class Machine:
    """A network namespace with an address of each kind, and its place at a switch."""

    name: str
    address: str
    ipv6: str
    switch: str
    port: str

    def start(self, *words: object, cwd: Path, **others: str) -> "subprocess.Popen[str]":
        """Start `densenet` there; Ctrl-C reaches it even where the test run itself ignores it."""
        return self.run(command(*words), cwd, **others)

    def run(self, words: list[str], cwd: Path, **others: str) -> "subprocess.Popen[str]":
        """Start a program there."""
        return subprocess.Popen(
            ["ip", "netns", "exec", self.name, *words],
            cwd=cwd,
            env={**os.environ, **others, MARK: self.name},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def list_processes(self) -> dict[int, dict[str, str]]:
        """Return the environment of each process that lives there, by its number."""
        found = {}
        done = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, check=True)
        for number in done.stdout.split():
            try:
                text = Path(f"/proc/{int(number)}/environ").read_bytes().decode(errors="replace")
            except OSError:
                continue
            pairs = (entry.partition("=") for entry in text.split("\0"))
            found[int(number)] = {name: value for name, _, value in pairs}
        return found

    def find_worker(self) -> int:
        """Return the number of the process that trains there."""
        roles = {pid: told.get("MS_ROLE") for pid, told in self.list_processes().items()}
        return next(pid for pid, role in roles.items() if role == "MS_WORKER")


def wait_for(holds: Callable[[], bool], *processes: "subprocess.Popen[str]") -> None:
    """Wait for something that processes do; fail where one ends or it takes too long instead."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        for process in processes:
            assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)


def finish(*processes: "subprocess.Popen[str]") -> list[tuple[int, str, str]]:
    """Return how each ended, and what it printed."""
    ends = [process.communicate(timeout=150) for process in processes]
    return [(process.returncode, *end) for process, end in zip(processes, ends, strict=True)]


def has_epochs(run: Path, number: int) -> Callable[[], bool]:
    """Return what tells whether a run has so many epochs behind it."""
    file = run / "metrics.jsonl"
    return lambda: file.exists() and file.read_text().count('"event": "epoch"') >= number


@contextmanager
def join_machines(number: int = 2) -> Iterator[tuple[Machine, ...]]:
    """Make so many machines, and end what is left on them; skip where they cannot be made."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("only root, with iproute2, can make network namespaces")
    mark = uuid.uuid4().hex[:6]
    switch, network = f"dn{mark}0", int(mark[:2], 16)
    machines = []
    for place in range(1, number + 1):
        addresses = f"10.77.{network}.{place}", f"fd77::{network:x}:{place}"
        machines.append(Machine(f"dn{mark}{place}", *addresses, switch, f"port{place}"))
    try:
        _ip(f"netns add {switch}")
        _ip(f"-n {switch} link add switch type bridge")
        _ip(f"-n {switch} link set switch up")
        for machine in machines:
            _plug_in(machine)
        yield tuple(machines)
    finally:
        _take_away(machines)
        subprocess.run(["ip", "netns", "del", switch], capture_output=True, check=False)


def _plug_in(machine: Machine) -> None:
    own = f"-n {machine.name}"
    _ip(f"netns add {machine.name}")
    _ip(f"{own} link add cable type veth peer name {machine.port} netns {machine.switch}")
    _ip(f"-n {machine.switch} link set {machine.port} master switch up")
    _ip(f"{own} addr add {machine.address}/24 dev cable")
    _ip(f"{own} addr add {machine.ipv6}/64 dev cable nodad")
    _ip(f"{own} link set lo up")
    _ip(f"{own} link set cable up")


def separate(one: Machine, other: Machine) -> None:
    """Have the switch hand nothing on from one machine to the other; all others reach both."""
    for machine in (one, other):
        _ip(f"-n {machine.switch} link set {machine.port} type bridge_slave isolated on")


def _ip(words: str) -> None:
    done = subprocess.run(["ip", *words.split()], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no machines can be made here: ip {words}: {done.stderr.strip()}")


def _take_away(machines: Iterable[Machine]) -> None:
    for machine in machines:
        if Path(f"/run/netns/{machine.name}").exists():
            for pid in machine.list_processes():
                os.kill(pid, signal.SIGKILL)
            subprocess.run(["ip", "netns", "del", machine.name], check=True)
