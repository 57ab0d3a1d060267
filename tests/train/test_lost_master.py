"""Whether node 0 is reached, asked once the processes here stand still."""

import socket

import pytest

from archspec.errors import TrainingError
from archspec.train.distributed.nodes import Node
from archspec.train.faults.lost_master import MasterWatch


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as found:
        yield found


def watch(folder, listener, seconds):
    return MasterWatch(Node(2, 1, "127.0.0.1", listener.getsockname()[1]), folder, seconds)


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
    assert "the processes of node 1 of 2 have stood still for 0 s" in str(caught.value)


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
