"""What a recipe says of how long a run lasts and what it keeps."""

import pytest

from archspec.errors import SpecError
from archspec.files import to_yaml
from archspec.train.planning import plan_run
from archspec.train.recipe.keeping import seconds_of
from archspec.train.recipe.recipe import load_recipe


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("8h", 28_800)])
def test_a_duration_is_read_in_seconds(text, seconds):
    """Of each unit."""
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ("save_every=0", "save_every (=0) must be a number of steps, or a time such as 10m"),
        ("save_every=true", "save_every (=true) must be a number of steps, or a time"),
        ("save_every=1.5", "save_every (=1.5) must be a number of steps, or a time"),
        ("save_every=10x", "save_every (=10x) must be a number of steps, or a time"),
        ("time_budget=600", "time_budget (=600) must be a time such as 90s, 10m or 8h"),
        ("time_budget=9d", "time_budget (=9d) must be a time such as 90s, 10m or 8h"),
        ("validate_every=0", "validate_every (=0) must be in [1, 100000]"),
        ("early_stopping={patience: 0}", "early_stopping.patience (=0) must be in [1, 100000]"),
        ("keep={best: 0}", "keep.best (=0) must be in [1, 100000]"),
        ("keep={by: top2}", "keep.by (=top2) must be one of 'top1', 'top5', 'loss', 'ema_top1'"),
        ("on_nan=ignore", "on_nan (=ignore) must be one of 'stop' or 'skip'"),
    ],
)
def test_what_is_no_time_or_no_number_of_steps_is_refused_with_the_rule(setting, fault):
    """One fault for one mistake."""
    with pytest.raises(SpecError) as caught:
        load_recipe("digits", [setting])
    assert len(caught.value.diagnostics) == 1
    assert fault in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "kept"),
    [([], 10), (["keep={last: 2}"], 2), (["keep_checkpoints=3"], 3), (["keep={best: 4}"], 10)],
)
def test_the_short_form_and_the_long_one_replace_each_other(overrides, kept):
    """MindCV's recipe says keep_checkpoints; what is resolved is read back as the same."""
    recipe = load_recipe("imagenet_ascend", overrides)
    assert recipe.epochs_kept == kept
    assert to_yaml(recipe.resolved()).count("last") <= 1


def test_both_at_once_are_refused():
    """Neither of two that were typed is a parent's."""
    with pytest.raises(SpecError, match="keep_checkpoints"):
        load_recipe("digits", ["keep_checkpoints=5", "keep.last=2"])


@pytest.mark.parametrize("by", ["f1", "mean_ap", "ema_mean_auc"])
def test_a_figure_that_the_data_do_not_have_chooses_no_checkpoint(by):
    """Digits have one class each; which figures there are is said."""
    overrides = [("keep.by", by), ("ema.decay", 0.9)]
    with pytest.raises(SpecError, match=rf"S006 by \(={by}\) is no figure of these images"):
        plan_run("densenetbc_digits", recipe_overrides=overrides)
