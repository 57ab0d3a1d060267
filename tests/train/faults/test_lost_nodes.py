"""Whether other nodes are reached, asked once the processes here stand still."""

import socket

import pytest

from archspec.errors import TrainingError
from archspec.train.distributed.nodes import Node
from archspec.train.faults.lost_nodes import NetworkWatch

HERE, NOWHERE = "127.0.0.1", "255.255.255.255"
"""No connection is made to a broadcast address."""


@pytest.fixture
def listener():
    with socket.create_server((HERE, 0)) as found:
        yield found


def watch(folder, listener, seconds, addresses=None):
    node = Node(4, 1, HERE, listener.getsockname()[1])
    return NetworkWatch(node, folder, seconds, lambda: addresses or {})


def look(watched):
    """At once, whenever it looked last."""
    watched._looked = float("-inf")
    watched.look()


def test_node_0_that_is_lost_is_told_where_processes_stand_still(tmp_path, listener):
    """The second time that it does not answer; as long as it answers they may wait."""
    (tmp_path / "pulse_rank1").write_bytes(b"step 3")
    watched = watch(tmp_path, listener, 1e-9)
    for _ in range(4):
        look(watched)
    listener.close()
    look(watched)
    with pytest.raises(TrainingError, match="T022 node 0 cannot be reached any more") as caught:
        look(watched)
    assert "the processes of node 1 of 4 have stood still for 0 s" in str(caught.value)


def test_another_node_that_is_lost_is_told_with_its_address(tmp_path, listener):
    """It need not listen: a refusal is an answer. Node 0, which is reached, is not blamed."""
    (tmp_path / "pulse_rank1").write_bytes(b"step 3")
    addresses = {2: "127.0.0.2", 3: "127.0.0.2"}
    watched = watch(tmp_path, listener, 1e-9, addresses)
    for _ in range(4):
        look(watched)
    addresses[2] = NOWHERE
    look(watched)
    with pytest.raises(TrainingError, match="T022 node 2") as caught:
        look(watched)
    (fault,) = caught.value.diagnostics
    assert fault.message.startswith(f"node 2 ({NOWHERE}) cannot be reached any more: ")
    assert "the processes of node 1 of 4 have stood still for" in fault.message


def test_a_node_that_never_answered_is_not_missed(tmp_path, listener):
    """A firewall may drop what is asked, and training go on all the same."""
    (tmp_path / "pulse_rank1").write_bytes(b"step 3")
    watched = watch(tmp_path, listener, 1e-9, {2: NOWHERE})
    for _ in range(4):
        look(watched)


def test_processes_that_move_or_have_not_begun_need_no_answer(tmp_path, listener):
    """Their own network may be another one; and `--hang-after 0` asks for none."""
    moving, patient, careless = (watch(tmp_path, listener, seconds) for seconds in (1e-9, 1e9, 0))
    listener.close()
    for number in range(4):
        (tmp_path / "pulse_rank1").write_bytes(b"step %d" % number)
        look(moving)
    for _ in range(4):
        look(patient)
        look(careless)
