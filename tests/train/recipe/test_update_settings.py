"""What a recipe says of optimizer, loss and update is read as a spec is: faults at their places."""

import pytest

from archspec.errors import SpecError, TrainingError
from archspec.train.planning import plan_run
from archspec.train.recipe.recipe import load_recipe

FAULTS = {
    "clip={}": "S006 clip must have either norm or value",
    "clip={norm: 1.0, value: 0.5}": "S006 clip must have either norm or value",
    "clip=1.0": "S003 clip (=1.0) must be a mapping of keys to values",
    "clip={norm: 0.0}": "S004 clip.norm (=0.0) must be > 0",
    "clip={by: 1.0}": "S001 unknown key 'clip.by'",
    "ema={decay: 1.0}": "S004 ema.decay (=1.0) must be in (0, 1)",
    "ema={decay: 0.9, warmup: 1}": "S003 ema.warmup (=1) must be true or false",
    "accumulate=0": "S004 accumulate (=0) must be in [1, 65536]",
    "amp=O1": "S005 amp (=O1) must be one of 'O0', 'O2' or 'O3'",
    "on_nan=ignore": "S005 on_nan (=ignore) must be one of 'stop' or 'skip'",
    "optimizer.kind=adamW": "S005 optimizer.kind (=adamW) must be one of 'sgd', 'momentum'",
    "optimizer.kind=3": "S005 optimizer.kind (=3) must be one of",
    "optimizer={kind: adam, betas: [0.9]}": "S004 optimizer.betas (=[0.9]) must have at least 2",
    "optimizer={kind: adam, betas: [0.9, 1.0]}": "S004 optimizer.betas[1] (=1.0) must be",
    "optimizer={kind: adam, betas: 0.9}": "S003 optimizer.betas (=0.9) must be a list",
    "optimizer.layer_decay=0.0": "S004 optimizer.layer_decay (=0.0) must be in (0, 1]",
    "loss.kind=ce": "S005 loss.kind (=ce) must be one of 'cross_entropy', 'bce' or 'focal'",
    "loss.class_weights=even": "S005 loss.class_weights (=even) must be one of 'balanced'",
    "loss.class_weights=[-1.0]": "S004 loss.class_weights[0] (=-1.0) must be in [0, 1000000]",
    "loss.class_weights=[]": "S004 loss.class_weights (=[]) must have at least 1 entry",
    "loss=bce": "S003 loss (=bce) must be a mapping of keys to values",
    "schedule.every=0": "S004 schedule.every (=0) must be in [1, 100000]",
    "schedule.per=batch": "S005 schedule.per (=batch) must be one of 'step' or 'epoch'",
}


@pytest.mark.parametrize(("setting", "message"), FAULTS.items(), ids=FAULTS)
def test_a_fault_names_field_value_and_rule(setting, message):
    """And the place where it was written."""
    with pytest.raises(SpecError) as caught:
        load_recipe("digits", [setting])
    fault = caught.value.diagnostics[0]
    assert message in f"{fault.code} {fault.message}"
    assert fault.where.startswith(f"--set {setting}"[:40])


SCALES = {
    "dyn": "S005 loss_scale (=dyn) must be one of 'dynamic' or a number",
    "0": "S004 loss_scale (=0) must be > 0",
    "true": "S003 loss_scale (=true) must be a number",
    "[1.0]": "S003 loss_scale (=[1.0]) must be a number",
}


@pytest.mark.parametrize(("value", "message"), SCALES.items())
def test_a_loss_scale_is_a_number_or_dynamic(value, message):
    """Its error names both."""
    with pytest.raises(SpecError) as caught:
        load_recipe("digits", ["amp=O2", f"loss_scale={value}"])
    (fault,) = caught.value.diagnostics
    assert message in f"{fault.code} {fault.message}"


def test_batches_of_an_update_must_fit_the_data():
    """Else no weight would ever move."""
    with pytest.raises(TrainingError, match=r"--set accumulate=30 T007 accumulate \(=30\) must"):
        plan_run("densenetbc_digits", recipe_overrides=["accumulate=30"])


PLANNED = {
    "freeze=block 9": "S006 freeze names block 9, which the network has not",
    "loss.class_weights=[1.0, 2.0]": "S006 class_weights are 2 weights, the network gives 10",
}


@pytest.mark.parametrize(("setting", "message"), PLANNED.items(), ids=PLANNED)
def test_what_does_not_fit_the_network_is_told_before_a_run_is_made(setting, message):
    """Of a part or of classes that it has not."""
    with pytest.raises(SpecError, match=message):
        plan_run("densenetbc_digits", recipe_overrides=[setting])
