"""Training from Python: what `archspec.train` offers, on the real thing."""

import json
import math

import pytest

from archspec import train
from archspec.errors import TrainingError
from archspec.train.planning import create

TINY = ["block_config=[1, 1]", "growth_rate=4"]


def planned(*overrides, devices=1):
    return train.plan(
        "densenetbc_digits", spec_overrides=TINY, recipe_overrides=overrides, devices=devices
    )


def test_a_plan_is_trained_judged_and_asked_from_python(tmp_path):
    """With averaged weights, which are judged as the event tells; the run is then taken up by its
    path, and finished as it is; evaluated again it has the same figures, averaged or not.
    """
    shown = []
    outcome = train.fit(
        planned("epochs=2", "ema={decay: 0.9, warmup: false}", "keep={by: ema_loss}"),
        tmp_path / "run",
        show=shown.append,
    )
    assert (outcome.part, outcome.checkpoint, outcome.ends_by) == ("test", "best.ckpt", "")
    assert [event["event"] for event in shown][-1] == "end"
    again = train.fit(str(outcome.run.path))
    assert again == outcome
    assert train.evaluate(outcome.run) == outcome.accuracy
    assert train.evaluate(outcome.run, ema=True) == outcome.averaged
    assert outcome.averaged != outcome.accuracy
    epochs = [event for event in shown if event["event"] == "epoch"]
    assert {"val_top1", "ema_top1"} <= epochs[0].keys()


def test_callbacks_of_several_devices_are_refused_before_anything_is_made(tmp_path):
    """They would see nothing: the devices train in other processes."""
    plan = planned(devices=2)
    with pytest.raises(TrainingError, match="T019 callbacks see a run in this process"):
        train.fit(plan, tmp_path / "run", callbacks=[train.Callback()])
    assert list(tmp_path.iterdir()) == []
    run = create(plan, tmp_path / "run")
    with pytest.raises(TrainingError, match="T019"):
        train.fit(run, callbacks=[train.Callback()])
    assert not run.metrics.exists()


@pytest.mark.slow
def test_steps_without_a_number_are_skipped_where_the_recipe_says_so(tmp_path):
    """A rate that blows up at once: weights stay numbers and the run goes to its end; without the
    key it stops and names step and images.
    """
    wild = ("epochs=4", "schedule.learning_rate=100", "optimizer.weight_decay=1.0")
    outcome = train.fit(planned(*wild, "on_nan=skip"), tmp_path / "skips")
    assert math.isfinite(outcome.accuracy.loss)
    events = map(json.loads, outcome.run.metrics.read_text().splitlines())
    assert [event for event in events if event.get("skipped_updates", 0) > 0]
    with pytest.raises(TrainingError, match=r"T006 .* in epoch \d, step \d+, at .*; its images: "):
        train.fit(planned(*wild), tmp_path / "stops")


def test_only_what_is_listed_is_offered():
    """Each name is there; another one is missed as in any module."""
    assert all(getattr(train, name) is not None for name in train.__all__)
    assert train.__all__ == sorted(train.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'fti'"):
        train.fti  # noqa: B018


def test_paths_and_settings_are_taken_in_any_form_and_what_is_none_is_said(tmp_path):
    """Words for paths, one setting or a mapping; a TypeError before anything is made."""
    plan = train.plan(
        "densenetbc_digits", spec_overrides={"growth_rate": 4}, recipe_overrides="epochs=1"
    )
    assert (plan.spec.growth_rate, plan.recipe.epochs) == (4, 1)
    with pytest.raises(TypeError, match="a spec to train is named"):
        train.plan(plan.spec)
    with pytest.raises(ValueError, match="device_target \\(='GPU'\\) must be CPU or Ascend"):
        train.plan("densenetbc_digits", device_target="GPU")
    with pytest.raises(TypeError, match="callbacks are instances of"):
        train.fit(plan, tmp_path / "run", callbacks=[train.Callback])
    with pytest.raises(TypeError, match="out and certify go with a plan"):
        train.fit(tmp_path, out=tmp_path)
    with pytest.raises(ValueError, match="batch_size"):
        train.evaluate(tmp_path, batch_size=0)
    assert list(tmp_path.iterdir()) == []
