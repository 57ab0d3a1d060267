"""A node that joins a run: how long it waits for what node 0 has made."""

import time

import pytest

from archspec.errors import TrainingError
from archspec.train import joining
from archspec.train.distributed.node_reports import NodeReports
from archspec.train.distributed.nodes import Node


def test_a_folder_that_is_not_shared_is_waited_for_no_longer_than_the_node_is(
    tmp_path, monkeypatch
):
    """`--node-wait` counts from the start; a file system's own delay is granted within it."""
    monkeypatch.setattr(joining, "VISIBLE_SECONDS", 1e9)
    monkeypatch.setattr(joining, "LEAST_VISIBLE_SECONDS", 0.0)
    node = Node(2, 1, "10.0.0.5", 8118)
    reports = NodeReports(tmp_path / "workers", node)
    with pytest.raises(TrainingError, match=r"T022 node 0 listens at .*, and nothing of it"):
        joining._find_run(tmp_path, node, reports, time.monotonic())
