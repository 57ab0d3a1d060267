"""Damaged and lost checkpoints: the one before is taken, the damaged one kept, and all is said."""

import os
from pathlib import Path

import numpy as np
import pytest

from archspec.errors import ModelFileError, TrainingError
from archspec.runtime import prepare
from archspec.train.run import checkpoint
from archspec.train.run.position import Position
from archspec.train.run.recovery import choose_judged, find_best, recover_checkpoints
from archspec.train.run.run_directory import Run


def write(path: Path, epoch: int, previous: Path | None = None) -> None:
    prepare()
    import mindspore as ms

    values = [ms.Parameter(np.full((3, 3), epoch, np.float32), name="w")]
    checkpoint.save(path, values, Position(epoch=epoch, best=0.5), previous=previous)


def epoch_of(path: Path) -> int:
    return Position.of(checkpoint.read_checkpoint(path)).epoch


def damage(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


@pytest.fixture
def run(tmp_path) -> Run:
    """A run of five epochs, of which the second and the third are kept."""
    made = Run(tmp_path / "a run")
    made.best.parent.mkdir(parents=True)
    for epoch in range(1, 6):
        write(made.last, epoch, made.previous)
    for epoch in (2, 3):
        write(checkpoint.path_of_epoch(made.last, epoch), epoch)
    write(made.best, 4)
    made.metrics.write_text('{"event": "epoch", "epoch": 5, "val_loss": 1.0}\n')
    return made


def files(run: Run) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.last.parent.iterdir()}


def test_the_one_before_is_kept_beside_the_last(run):
    """Without a second write: it is the file that was the last."""
    assert (epoch_of(run.last), epoch_of(run.previous)) == (5, 4)


def test_where_all_is_whole_nothing_is_touched_and_nothing_said(run):
    """A run that goes on as usual."""
    before = files(run)
    assert recover_checkpoints(run) == ()
    assert files(run) == before


@pytest.mark.parametrize(
    ("wrong", "taken"),
    [
        (["last.ckpt"], "previous.ckpt"),
        (["last.ckpt", "previous.ckpt"], "epoch-0003.ckpt"),
        (["last.ckpt", "previous.ckpt", "epoch-0003.ckpt"], "epoch-0002.ckpt"),
    ],
)
@pytest.mark.parametrize("is_lost", [False, True])
def test_the_newest_whole_one_takes_the_place_of_the_last(is_lost, wrong, taken, run):
    """It is named, so is what was wrong; the damaged file is kept, and others are left alone."""
    before = files(run)
    for name in wrong:
        path = run.last.with_name(name)
        path.unlink() if is_lost else damage(path)
    found = run.last.read_bytes() if not is_lost else b""
    fault = "is gone" if is_lost else "is damaged (kept as last.ckpt.damaged)"
    assert recover_checkpoints(run) == (
        f"{run.last}: {fault}; going on from {taken}, the one before",
    )
    after = files(run)
    assert after["last.ckpt"] == before[taken] == after[taken]
    assert after.get("last.ckpt.damaged", b"") == found
    assert recover_checkpoints(run) == ()


def test_where_none_is_whole_the_run_is_not_begun_anew_in_silence(run):
    """T018, and every file is as it was."""
    for name in ("last.ckpt", "previous.ckpt", "epoch-0003.ckpt", "epoch-0002.ckpt"):
        damage(run.last.with_name(name))
    before = files(run)
    with pytest.raises(TrainingError, match="T018 holds no checkpoint that is whole"):
        recover_checkpoints(run)
    assert files(run) == before


def test_a_file_that_cannot_be_read_is_not_called_damaged(run):
    """R001, and nothing is moved: a file system that fails for a moment costs no checkpoint."""
    if os.geteuid() == 0:
        pytest.skip("root reads every file")
    run.last.chmod(0)
    before = sorted(run.last.parent.iterdir())
    with pytest.raises(ModelFileError, match="R001 cannot be read: Permission denied"):
        recover_checkpoints(run)
    assert sorted(run.last.parent.iterdir()) == before


def test_a_run_that_has_lost_all_its_checkpoints_says_that_it_begins_anew(run, tmp_path):
    """One that has not finished an epoch has none to lose."""
    for path in run.last.parent.iterdir():
        path.unlink()
    last, best = recover_checkpoints(run)
    assert last.endswith("is gone, and no other checkpoint is left; training begins anew")
    assert best.endswith("is gone; the best is chosen from what comes now")
    run.metrics.write_text('{"event": "start"}\n')
    assert recover_checkpoints(run) == ()
    assert recover_checkpoints(Run(tmp_path / "new")) == ()


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_best_checkpoint_that_is_damaged_or_gone_is_said_and_chosen_anew(is_lost, run):
    """Nothing else is touched."""
    before = files(run)
    run.best.unlink() if is_lost else damage(run.best)
    fault = "is gone" if is_lost else "is damaged (kept as best.ckpt.damaged)"
    said = (f"{run.best}: {fault}; the best is chosen from what comes now",)
    assert recover_checkpoints(run) == said
    assert not run.best.exists()
    assert files(run)["last.ckpt"] == before["last.ckpt"]


def test_a_run_is_judged_by_the_best_that_is_whole(run):
    """Else by the last; where neither is, by none."""
    assert choose_judged(run) == run.best
    damage(run.best)
    assert choose_judged(run) == run.last
    run.last.unlink()
    assert choose_judged(run) is None


def test_what_to_validate_is_named_where_the_best_is_not_whole(run):
    """R002 or R001 with a command that serves."""
    assert find_best(run) == run.best
    cures = []
    damage(run.best)
    for spoil in (lambda: None, lambda: damage(run.last), run.best.unlink, run.last.unlink):
        spoil()
        with pytest.raises(ModelFileError) as caught:
            find_best(run)
        cures.append(str(caught.value).removeprefix(f"{run.best} "))
    damaged = "R002 is damaged: its bytes are not those that were written"
    resume = f"(densenet train --resume '{run.path}' looks for one that is whole)"
    assert cures == [
        f"{damaged} (the last one is whole: --ckpt '{run.last}')",
        f"{damaged} {resume}",
        f"R001 there is no such checkpoint {resume}",
        "R001 there is no such checkpoint (no epoch of this run is validated)",
    ]


def test_checkpoints_of_versions_without_a_digest_are_whole_where_mindspore_reads_them(run):
    """A run of such a version goes on, also from the one before where the last was cut."""
    import mindspore as ms

    for path, epoch in ((run.last, 5), (run.previous, 4)):
        path.unlink()
        entries = [{"name": "w", "data": ms.Tensor(np.ones((3, 3), np.float32))}]
        ms.save_checkpoint(
            entries, str(path), append_dict={"archspec.epoch": epoch, "archspec.best": 0.5}
        )
        path.chmod(0o644)
    assert recover_checkpoints(run) == ()
    run.last.write_bytes(run.last.read_bytes()[:-3])
    (said,) = recover_checkpoints(run)
    assert "is damaged" in said
    assert epoch_of(run.last) == 4
