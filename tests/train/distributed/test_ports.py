"""Ports of a job: free, and its own before anybody listens there."""

import socket
import subprocess
import sys

import pytest

from archspec.train.distributed.ports import claim_port, find_free_port, hold_ports

CLAIM = """
import sys
from archspec.train.distributed.ports import claim_port
print(claim_port(int(sys.argv[1])), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def usual():
    """A port that nobody listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        number = listener.getsockname()[1]
    with hold_ports():
        yield number


def test_a_free_port_can_be_listened_on():
    """The port is free when it is handed out, and msrun takes its number."""
    port = find_free_port()
    assert 1024 <= port <= 65535
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", port))


def test_a_usual_port_is_taken_where_no_other_job_has_it(usual):
    """A second job on one machine gets another."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", usual))
        listener.listen()
        assert find_free_port(usual) != usual
    assert find_free_port(usual) == usual


def test_a_port_is_a_jobs_before_anybody_listens_there(usual):
    """Of jobs that begin in the same second one has it, until it ends, however it ends."""
    command = [sys.executable, "-c", CLAIM, str(usual)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as other:
        assert other.stdout.readline() == "True\n"
        assert not claim_port(usual)
        assert find_free_port(usual) != usual
        with socket.socket() as scheduler:
            scheduler.bind(("127.0.0.1", usual))  # the job's own, which comes later
        other.kill()
    assert claim_port(usual)
    assert claim_port(usual)  # a job that starts again has it still


def test_a_job_that_has_ended_leaves_its_port(usual):
    """Its process may live on, as a notebook's does."""
    command = [sys.executable, "-c", CLAIM, str(usual)]
    for says in ("False", "True"):
        with hold_ports():
            assert says == "True" or claim_port(usual)
            done = subprocess.run(command, input="", capture_output=True, text=True, check=True)
        assert done.stdout == f"{says}\n"
