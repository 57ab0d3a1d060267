"""A run that goes on for another number of epochs, and what that does to its rates."""

import json

import pytest
from train.run.test_run_directory import SETTINGS

from archspec.errors import SpecError, TrainingError
from archspec.spec.load import load_spec
from archspec.train.recipe.recipe import load_recipe
from archspec.train.run.extend import change_epochs
from archspec.train.run.run_directory import create_run, open_run
from densenet_cli.options import place_typed

STEPS = 5


def make(path, *settings, done=0, begun=True):
    """A run of ten epochs, of which some are done."""
    recipe = load_recipe("digits", ["epochs=10", *settings])
    run = create_run(path, load_spec("densenetbc_digits"), recipe, SETTINGS, "# network\n")
    events = [{"event": "start", "steps": STEPS}] if begun else []
    events += [{"event": "epoch", "epoch": number + 1} for number in range(done)]
    if begun:
        run.metrics.write_text("".join(f"{json.dumps(event)}\n" for event in events))
    return run


def change(run, epochs):
    changed, line = change_epochs(run, epochs, place_typed(f"--epochs {epochs}"))
    return changed, line.partition("done; ")[2] or line


STEP = ("schedule.kind=step",)
CASES = {
    "a constant rate": (("schedule.kind=constant",), 4, "constant: the rate stays as it was, 0.1"),
    "milestones in epochs": (
        (*STEP, "schedule.milestones=[2, 6]"),
        4,
        "step: the rate stays as it was, 0.01 now",
    ),
    "milestones that are shares": (
        (*STEP, "schedule.milestones=[0.5]"),
        6,
        "step: the rates of what is left are those of a run of 20 epochs: "
        "epoch 7 begins with 0.1 instead of 0.01",
    ),
    "cosine": (
        (),
        5,
        "cosine: the rates of what is left are those of a run of 20 epochs: "
        "epoch 6 begins with 0.08536 instead of 0.05",
    ),
    "cosine that has ended": (
        (),
        10,
        "cosine: the rates of what is left are those of a run of 20 epochs: "
        "it jumps from 9.866e-05 to 0.05",
    ),
    "a constant rate that has ended": (
        ("schedule.kind=constant",),
        10,
        "constant: the rate stays as it was, 0.1 now",
    ),
    "nothing done": ((), 0, "cosine: the rates are those of 20 epochs"),
}


@pytest.mark.parametrize(("settings", "done", "line"), CASES.values(), ids=CASES)
def test_twice_the_epochs_are_kept_and_the_line_says_what_that_does(settings, done, line, tmp_path):
    """By hand: cosine (1 + cos(pi t)) / 20 at t = 1/4 and 1/2, and at the last of 50 steps."""
    run = make(tmp_path / "run", *settings, done=done)
    changed, said = change(run, 20)
    assert said.startswith(line)
    assert changed.recipe.epochs == open_run(run.path).recipe.epochs == 20
    others = {**run.recipe.resolved(), "epochs": 20}
    assert changed.recipe.resolved() == others


def test_a_run_that_never_began_is_changed_too(tmp_path):
    """It has no events yet."""
    changed, said = change(make(tmp_path / "run", begun=False), 20)
    assert (changed.recipe.epochs, said) == (20, "cosine: the rates are those of 20 epochs")


def test_fewer_epochs_are_as_many_as_are_done_at_least(tmp_path):
    """An equal number leaves nothing to learn; fewer are refused, and the recipe stays."""
    run = make(tmp_path / "run", done=4)
    before = (run.path / "recipe.yaml").read_bytes()
    with pytest.raises(TrainingError) as caught:
        change(run, 3)
    (fault,) = caught.value.diagnostics
    assert str(fault) == "--epochs 3 S004 epochs (=3) must be at least the 4 that the run has done"
    assert (run.path / "recipe.yaml").read_bytes() == before
    assert change(run, 4)[1].endswith("4 of them done: there is nothing left to learn")


def test_as_many_epochs_as_before_change_nothing(tmp_path):
    """Not a byte of the recipe."""
    run = make(tmp_path / "run", done=4)
    (run.path / "recipe.yaml").write_text((run.path / "recipe.yaml").read_text() + "# mine\n")
    assert "the rate stays as it was" in change(run, 10)[1]
    assert (run.path / "recipe.yaml").read_text().endswith("# mine\n")


@pytest.mark.parametrize(
    ("epochs", "settings"),
    [(0, ()), (200_000, ()), (5, (*STEP, "schedule.milestones=[6, 8]"))],
)
def test_what_the_schedule_does_not_allow_is_refused(epochs, settings, tmp_path):
    """A number out of range, a milestone behind the end; nothing is written."""
    run = make(tmp_path / "run", *settings)
    before = (run.path / "recipe.yaml").read_bytes()
    with pytest.raises(SpecError):
        change(run, epochs)
    assert (run.path / "recipe.yaml").read_bytes() == before


@pytest.mark.parametrize(
    "line",
    [
        "{",
        '{"event": "epoch"}',
        '{"event": "epoch", "epoch": "x"}',
        "[]",
        '{"event": "epoch", "epoch": -1}',
    ],
)
def test_events_that_tell_nothing_are_refused(line, tmp_path):
    """T004 names the file; nothing is written."""
    run = make(tmp_path / "run")
    run.metrics.write_text(f"{line}\n")
    with pytest.raises(TrainingError, match=r"metrics\.jsonl T004 does not tell"):
        change(run, 20)
    assert open_run(run.path).recipe.epochs == 10


def test_a_recipe_that_cannot_be_written_leaves_the_old_one(tmp_path):
    """T002: a folder lies where the new one is written first."""
    run = make(tmp_path / "run")
    (run.path / ".recipe.yaml.partial").mkdir()
    with pytest.raises(TrainingError, match=r"recipe\.yaml T002 cannot be written"):
        change(run, 20)
    assert open_run(run.path).recipe.epochs == 10
