"""Starting workers again: after which faults, how often, and what is told of it."""

import pytest

from archspec.errors import DataError, Diagnostic, EnvironmentFault, TrainingError
from archspec.train.faults.restarts import start_again

KILLED = TrainingError.one("T011", "rank 1 was ended by SIGKILL")
HANGS = TrainingError.one("T024", "rank 0 hangs: computing epoch 1, step 3 for 45 s")


def starts(log_dir, *ends):
    """A start that ends so, each time otherwise; None is a good end. Its log tells which it was."""
    left = list(ends)

    def start():
        (log_dir / "worker_0.log").write_text(f"start {len(ends) - len(left) + 1}")
        end = left.pop(0)
        if end is not None:
            raise end

    return start


def test_workers_are_started_again_until_they_come_to_their_end(tmp_path):
    """A line for each restart, with the reason, and one at the end; each start's logs are kept."""
    told = []
    start_again(starts(tmp_path, KILLED, HANGS, None), 3, tmp_path, told.append)
    assert told == [
        f"restart 1 of 3: rank 1 was ended by SIGKILL (logs: {tmp_path / 'start_1'})",
        "restart 2 of 3: rank 0 hangs: computing epoch 1, step 3 for 45 s "
        f"(logs: {tmp_path / 'start_2'})",
        "went to its end after 2 restarts",
    ]
    logs = [tmp_path / name / "worker_0.log" for name in ("start_1", "start_2", "")]
    assert [log.read_text() for log in logs] == ["start 1", "start 2", "start 3"]


@pytest.mark.parametrize("restarts", [0, 1, 2])
def test_the_last_fault_is_raised_where_no_restart_is_left(restarts, tmp_path):
    """The count goes on however far the run has come in between."""
    told = []
    ends = [KILLED] * restarts + [HANGS]
    with pytest.raises(TrainingError, match="T024 rank 0 hangs"):
        start_again(starts(tmp_path, *ends), restarts, tmp_path, told.append)
    last = [] if not restarts else [f"given up after {restarts} restart{'s' * (restarts > 1)}"]
    assert told[restarts:] == last
    assert (tmp_path / "worker_0.log").read_text() == f"start {restarts + 1}"


@pytest.mark.parametrize(
    "error",
    [
        DataError.one("D005", "is not a whole image", "cat.jpg"),
        TrainingError.one("T006", "the loss is no number"),
        TrainingError.one("T003", "the checkpoint cannot be written"),
        EnvironmentFault.one("E004", "the device cannot be used"),
        TrainingError([*KILLED.diagnostics, Diagnostic("T003", "the disk is full")]),
        KeyboardInterrupt(),
        SystemExit(143),
    ],
)
def test_what_somebody_has_to_mend_is_not_tried_again(error, tmp_path):
    """Data, recipes, a full disk, or that somebody ended it."""
    told = []
    with pytest.raises(type(error)):
        start_again(starts(tmp_path, error, None), 3, tmp_path, told.append)
    assert told == []
