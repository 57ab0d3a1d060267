"""Hosts to which ssh does not come, or where nothing starts: with OpenSSH's client and server."""

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

from archspec.errors import EnvironmentFault
from densenet_cli import ssh
from densenet_cli.hosts import Host
from densenet_cli.ssh import SSH, run_on_hosts, write_ssh
from densenet_cli.ssh_faults import find_fault

HOSTS = Path("hosts")
CLIENT = """
Host nowhere.invalid
  HostName nowhere.invalid
Host *
  HostName 127.0.0.1
  Port {port}
  IdentityFile {folder}/key
  UserKnownHostsFile {folder}/known
"""
SERVER = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
"""


def make_key(file):
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True, timeout=60
    )


@pytest.fixture
def port():
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]


@pytest.fixture
def client(tmp_path, port):
    """The folder of keys, where ssh finds all hosts on this machine."""
    if shutil.which("ssh") is None:
        pytest.skip("there is no OpenSSH client here")
    make_key(tmp_path / "key")
    (tmp_path / "client").write_text(CLIENT.format(folder=tmp_path, port=port))
    return tmp_path


@pytest.fixture
def server(client, port):
    """A server that lets that key in, and is known."""
    program = shutil.which("sshd", path="/usr/sbin:/usr/bin")
    if program is None:
        pytest.skip("there is no OpenSSH server here")
    make_key(client / "host_key")
    key = (client / "host_key.pub").read_text()
    (client / "known").write_text(f"[127.0.0.1]:{port} {key}")
    (client / "server").write_text(SERVER.format(folder=client, port=port))
    Path("/run/sshd").mkdir(exist_ok=True)
    with subprocess.Popen(
        [program, "-D", "-f", str(client / "server")], stderr=subprocess.DEVNULL
    ) as process:
        wait_for_answer(port)
        yield client
        process.kill()


def wait_for_answer(port):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            time.sleep(0.02)
    pytest.fail("no server answers")


def run(folder, *names, setup="true", command=("true",), commands=None):
    """Run a command on hosts, or each one's own, by the configuration in a folder; what is told of
    each.
    """
    hosts = [Host(line, name, None) for line, name in enumerate(names, start=1)]
    lines = []
    for host, own in zip(hosts, commands or [command] * len(hosts), strict=True):
        words = write_ssh(host, own, setup, [])
        lines.append([*SSH, "-F", str(folder / "client"), *words[len(SSH) :]])
    try:
        code = run_on_hosts(HOSTS, hosts, lines)
    except EnvironmentFault as error:
        return [str(fault) for fault in error.diagnostics]
    return code


def test_hosts_where_all_goes_well_or_the_command_fails_have_no_fault(server):
    """What the command says itself stands on the screen; its code is handed on."""
    assert run(server, "a", "b") == 0
    assert run(server, "a", command=("sh", "-c", "exit 3")) == 3


def test_an_interrupt_waits_for_no_host_that_does_not_answer(client, port, capfd):
    """ssh itself would go on trying, and say so in the end."""
    with socket.create_server(("127.0.0.1", port)) as silent:
        threading.Thread(target=interrupt_when_asked, args=(silent,), daemon=True).start()
        assert run(client, "a") == 128 + signal.SIGTERM
    assert "timed out" not in "".join(capfd.readouterr())


def interrupt_when_asked(silent):
    with silent.accept()[0] as connection:
        os.kill(os.getpid(), signal.SIGTERM)
        while connection.recv(1000):  # until ssh has ended
            pass


BEGIN = f"echo '{ssh.BEGINS}'"
FAIL = "exit 3"
WAIT = "timeout {} cat; echo ended $?"
"""For the end of its input, with 0 then, or so many seconds, with 124."""


@pytest.mark.parametrize("first", [f"{BEGIN}; {FAIL}", FAIL], ids=["begun", "not begun"])
def test_a_host_that_fails_before_all_have_begun_ends_the_others_soon(
    first, server, monkeypatch, capsys
):
    """Nothing is trained, and nobody but who watches knows it; the code is that of the first."""
    monkeypatch.setattr(ssh, "SECONDS_TO_TELL", 0.1)
    commands = [["sh", "-c", script] for script in (first, WAIT.format(30))]
    assert run(server, "a", "b", commands=commands) == 3
    assert capsys.readouterr().out.splitlines() == ["b: ended 0"]


def test_a_host_that_fails_in_the_middle_leaves_the_others_time(server, monkeypatch, capsys):
    """They learn of it by themselves, and say which rank is to blame."""
    monkeypatch.setattr(ssh, "SECONDS_TO_TELL", 0.0)
    scripts = (f"{BEGIN}; sleep 0.5; {FAIL}", f"{BEGIN}; {WAIT.format(2)}")
    commands = [["sh", "-c", script] for script in scripts]
    assert run(server, "a", "b", commands=commands) == 3
    assert capsys.readouterr().out.splitlines() == ["b: ended 124"]


def test_each_host_that_ssh_does_not_come_to_is_named_with_a_cure(client):
    """No server, and no such name; with the line of the file."""
    refused, unknown = run(client, "me@a", "nowhere.invalid")
    assert refused.startswith("hosts:1 E010 ssh to me@a failed: ssh: connect to host 127.0.0.1 ")
    assert "Connection refused (start its server (apt-get install openssh-server);" in refused
    assert unknown.startswith("hosts:2 E010 ssh to nowhere.invalid failed: ssh: Could not resolve")
    assert unknown.endswith(" (say a name that this machine can look up, or an address)")


def test_a_host_whose_key_is_unknown_or_another_is_not_trusted(server):
    """With how to look at it, or to forget the former one."""
    (server / "known").unlink()
    (fault,) = run(server, "a")
    assert fault.startswith("hosts:1 E010 ssh to a failed: Host key verification failed.")
    assert fault.endswith(" (`ssh a` by hand, once, shows its key and accepts it)")
    port = next(line for line in (server / "server").read_text().splitlines() if "Port " in line)
    key = (server / "key.pub").read_text()
    (server / "known").write_text(f"[127.0.0.1]:{port.split()[1]} {key}")
    (fault,) = run(server, "me@a")
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in fault
    assert "`ssh-keygen -R a` forgets the former one" in fault


def test_a_host_that_would_ask_for_a_password_is_not_entered(server):
    """Nobody could type it."""
    (server / "key.pub").write_text("")
    (fault,) = run(server, "a")
    assert "E010 ssh to a failed: " in fault
    assert "Permission denied" in fault
    assert fault.endswith(" (it must ask for no password: `ssh-copy-id a` lets your key in)")


@pytest.mark.parametrize(
    ("setup", "command", "words"),
    [
        ("true", ("no-such-program",), "no-such-program"),
        ("cd /no/such/folder", ("true",), "cd: "),
        ("exit 0", ("true",), "its shell ended with 0 before, without a word"),
        ("false", ("true",), "its shell ended with 1 before, without a word"),
        ("echo no modules here >&2; exit 7", ("true",), "ended with 7 before, no modules here"),
    ],
)
def test_a_host_where_nothing_can_start_names_the_flag_that_helps(setup, command, words, server):
    """Its shell finds neither program nor folder."""
    (fault,) = run(server, "a", setup=setup, command=command)
    assert fault.startswith("hosts:1 E010 nothing could start on a: ")
    assert words in fault
    assert fault.endswith(
        "(--ssh-setup 'cd FOLDER && . venv/bin/activate' says what its shell does before)"
    )


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (["Timeout, server 10.0.0.6 not responding."], "goes on with --resume"),
        (["epoch 1", "client_loop: send disconnect: Broken pipe"], "goes on with --resume"),
        (["ssh: connect to host a port 22: No route to host"], "that this machine reaches"),
        (["ssh: connect to host a port 22: Connection timed out"], "does each firewall let ssh"),
        (["kex_exchange_identification: read"], "`ssh me@a` by hand says more"),
        ([], "failed: without a word"),
    ],
)
def test_other_words_of_ssh_have_cures_too(said, words):
    """Where a network would have to be cut; and words that are none of these."""
    fault = find_fault(HOSTS, Host(4, "me@a", None), 255, said, has_started=False)
    assert fault.where == "hosts:4"
    assert words in str(fault)
    assert find_fault(HOSTS, Host(4, "me@a", None), 1, said, has_started=True) is None
    assert find_fault(HOSTS, Host(4, "me@a", None), -15, said, has_started=False) is None
