"""What the nodes of a run tell each other by files, and what of that is believed."""

import json

import pytest

from archspec.errors import DataError, TrainingError
from archspec.train.distributed.node_reports import (
    DONE,
    MOST_BYTES,
    PATIENCE_SECONDS,
    NodeReports,
    watch_together,
)
from archspec.train.distributed.nodes import Node


@pytest.fixture
def pair(tmp_path):
    """Node 0, which has begun, and node 1, which has joined it."""
    first, second = (NodeReports(tmp_path, Node(2, rank, "127.0.0.1", 8118)) for rank in (0, 1))
    assert not second.find_start()
    first.begin()
    assert second.find_start()
    second.join()
    return first, second


def change(folder, rank, **values):
    file = folder / f"node_{rank}.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def look(reports):
    """At once, whenever it looked last."""
    reports._looked = float("-inf")
    reports.look()


def test_nodes_see_each_other(pair):
    first, second = pair
    assert first.list_missing() == [1]
    look(first)
    look(second)
    assert first.list_missing() == second.list_missing() == []


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({}, {1: "127.0.0.1"}),
        ({"address": "fd00::5"}, {1: "fd00::5"}),
        ({"address": "fd00::5", "state": "done"}, {}),
        ({"address": "node-1"}, {}),
        ({"address": ""}, {}),
        ({"address": 7}, {}),
        ({"address": ["10.0.0.5"]}, {}),
    ],
)
def test_each_node_but_the_first_says_where_it_is_found(pair, said, found, tmp_path):
    """By the address that it has in node 0's network; anything else in the file is none, and a
    name would be looked up.
    """
    first, second = pair
    change(tmp_path, 1, **said)
    look(first)
    look(second)
    assert first.list_addresses() == found
    assert second.list_addresses() == {}


def test_the_fault_of_one_is_told_by_the_other(pair):
    """With node, code, place and cure; and nothing else of what stands in the file."""

    def fail(poll):
        raise DataError.one("D001", "the image is no image", "cat.jpg", "remove it")

    first, second = pair
    with pytest.raises(DataError, match="D001"):
        watch_together(fail, lambda: None, second)
    with pytest.raises(TrainingError) as caught:
        look(first)
    (fault,) = caught.value.diagnostics
    assert (fault.code, fault.where, fault.hint) == ("T023", "cat.jpg", "remove it")
    assert fault.message.startswith("node 1 (")
    assert fault.message.endswith("): D001 the image is no image")


LARGE = f'{{"state": "trains", "x": "{"y" * MOST_BYTES}"}}'
NO_REPORTS = ("", "{", "[]", "null", '{"state": ["failed"]}', '{"state": 1}', LARGE)


@pytest.mark.parametrize("text", NO_REPORTS, ids=lambda text: text[:20])
def test_half_a_file_or_none_is_no_report(pair, text, tmp_path):
    """A node that is being written, or anything else that may lie there."""
    first, second = pair
    (tmp_path / "node_1.json").write_text(text)
    look(first)
    assert first.list_missing() == [1]
    (tmp_path / "node_0.json").write_text(text)
    assert not second.find_start()


@pytest.mark.parametrize(
    "faults", [None, 1, "x", [1], [{"code": "T001"}], [{"message": [], "code": 1}]]
)
def test_a_failure_without_whole_faults_is_one_nevertheless(pair, faults, tmp_path):
    first, _ = pair
    change(tmp_path, 1, state="failed", faults=faults)
    look(first)  # its own workers may tell more
    first.others[1].ended -= 2 * PATIENCE_SECONDS
    with pytest.raises(TrainingError, match=r"T023 node 1 \(.*\) has failed, as its own screen"):
        look(first)


def test_files_of_an_earlier_start_say_nothing(pair, tmp_path):
    first, second = pair
    change(tmp_path, 1, attempt="earlier", state="failed")
    look(first)
    assert first.list_missing() == [1]
    first.tell(DONE)
    assert not second.find_start()
    first.begin()
    assert not (tmp_path / "node_1.json").exists()


def test_a_rank_is_taken_once(pair, tmp_path):
    other = NodeReports(tmp_path, Node(2, 1, "127.0.0.1", 8118))
    assert other.find_start()
    with pytest.raises(TrainingError, match=r"T022 node 1 of 2 is process \d+ on .* already"):
        other.join()


@pytest.mark.parametrize("versions", [None, "x", {"mindspore": "2.9.0"}])
def test_other_versions_are_refused(pair, versions, tmp_path):
    change(tmp_path, 0, versions=versions)
    with pytest.raises(TrainingError, match=r"T022 node 0 has .*, node 1 of 2 densenet-archspec"):
        pair[1].find_start()


def test_a_node_that_is_refused_ends_node_0_with_the_reason(tmp_path):
    """Which would wait for it until its patience is over."""
    first, second = (NodeReports(tmp_path, Node(2, rank, "127.0.0.1", 8118)) for rank in (0, 1))
    first.begin()
    assert second.find_start()
    second.refuse(TrainingError.one("T010", "the run has 1 devices on each node", "run", "cure"))
    with pytest.raises(TrainingError) as caught:
        look(first)
    (fault,) = caught.value.diagnostics
    assert (fault.code, fault.where, fault.hint) == ("T023", "run", "cure")
    assert fault.message.endswith("): T010 the run has 1 devices on each node")


def test_other_versions_are_told_to_node_0_too(pair, tmp_path):
    """Whose start is known by then."""
    change(tmp_path, 0, versions={"mindspore": "1.0"})
    third = NodeReports(tmp_path, Node(3, 2, "127.0.0.1", 8118))
    with pytest.raises(TrainingError, match="T022") as caught:
        third.find_start()
    third.refuse(caught.value)
    assert json.loads((tmp_path / "node_2.json").read_text())["state"] == "failed"


def test_one_that_comes_to_a_place_that_is_taken_says_nothing(pair, tmp_path):
    """The node whose place it is goes on; nor does one that knows of no start."""
    first, _ = pair
    before = (tmp_path / "node_1.json").read_text()
    late = NodeReports(tmp_path, Node(2, 1, "127.0.0.1", 8118))
    error = TrainingError.one("T010", "the run has 1 devices")
    late.refuse(error)
    assert late.find_start()
    late.refuse(error)
    assert (tmp_path / "node_1.json").read_text() == before
    look(first)
