"""Settings of a recipe that would do nothing are refused; what a child says leaves none behind."""

from pathlib import Path

import pytest

from archspec.errors import SpecError
from archspec.files import to_yaml
from archspec.spec.catalogue import shipped
from archspec.train.planning import plan_run
from archspec.train.recipe.recipe import Recipe, load_recipe

BASE = {"epochs": 10, "batch_size": 8}
STEP = {"kind": "step"}
OF_ANOTHER_VALUE = {
    "milestones beside cosine": (
        {"schedule": {"milestones": [0.5]}},
        ["milestones is a setting of the schedules step and multi_step, not of cosine"],
    ),
    "factor beside constant": (
        {"schedule": {"kind": "constant", "factor": 0.5}},
        ["factor is a setting of the schedules step, multi_step and exponential, not of constant"],
    ),
    "all of a step, beside cosine": (
        {"schedule": {"kind": "cosine", "milestones": [0.5], "factor": 0.1}},
        [
            "milestones is a setting of the schedules step and multi_step, not of cosine",
            "factor is a setting of the schedules step, multi_step and exponential, not of cosine",
        ],
    ),
    "final beside constant": (
        {"schedule": {"kind": "constant", "final": 0.0}},
        [
            "final is a setting of the schedules cosine, polynomial, one_cycle and cyclic, "
            "not of constant"
        ],
    ),
    "final beside step": (
        {"schedule": {"kind": "step", "final": 0.01}},
        [
            "final is a setting of the schedules cosine, polynomial, one_cycle and cyclic, "
            "not of step"
        ],
    ),
    "loss scale in O0": (
        {"loss_scale": 1024.0},
        ["loss_scale is a setting of amp O2 and O3, not of O0"],
    ),
    "norms of all devices in half precision": (
        {"amp": "O3", "sync_batch_norm": True},
        ["sync_batch_norm goes with amp O0 and O2, whose norms are in full precision, not with O3"],
    ),
    "val_amp in O0": ({"val_amp": "O0"}, ["val_amp is a setting of amp O2 and O3, not of O0"]),
    "settings of a scale that is fixed": (
        {"amp": "O2", "loss_scale": 8.0, "dynamic_loss_scale": {"window": 10}},
        ["dynamic_loss_scale is a setting of loss_scale dynamic, not of 8.0"],
    ),
    "momentum beside adam": (
        {"optimizer": {"kind": "adam", "momentum": 0.9}},
        [
            "momentum is a setting of the optimizers sgd, momentum, nesterov and rmsprop, "
            "not of adam"
        ],
    ),
    "betas beside sgd": (
        {"optimizer": {"betas": [0.9, 0.99]}},
        ["betas is a setting of the optimizers adam, adamw, lion and lamb, not of sgd"],
    ),
    "eps beside lion": (
        {"optimizer": {"kind": "lion", "eps": 1e-8}},
        ["eps is a setting of the optimizers adam, adamw, lamb and rmsprop, not of lion"],
    ),
    "alpha and nesterov beside lamb": (
        {"optimizer": {"kind": "lamb", "alpha": 0.9, "nesterov": True}},
        ["alpha is a setting of the optimizer rmsprop, not of lamb", "nesterov is a setting of"],
    ),
    "momentum without momentum": (
        {"optimizer": {"kind": "momentum", "momentum": 0.0}},
        ["the optimizer momentum needs a momentum above 0"],
    ),
    "a decay of gammas without decay": (
        {"optimizer": {"weight_decay": 0.0, "decay_norm_and_bias": False}},
        ["decay_norm_and_bias needs a weight_decay above 0"],
    ),
    "gamma beside bce": (
        {"loss": {"kind": "bce", "gamma": 2.0}},
        ["gamma is a setting of the loss focal, not of bce"],
    ),
    "power beside exponential": (
        {"schedule": {"kind": "exponential", "power": 2.0}},
        ["power is a setting of the schedule polynomial, not of exponential"],
    ),
    "cycles beside one_cycle": (
        {"schedule": {"kind": "one_cycle", "cycles": 3}},
        ["cycles is a setting of the schedules cosine and cyclic, not of one_cycle"],
    ),
    "every beside multi_step": (
        {"schedule": {"kind": "multi_step", "every": 3}},
        ["every is a setting of the schedule step, not of multi_step"],
    ),
    "milestones beside every": (
        {"schedule": {"kind": "step", "every": 3, "milestones": [4]}},
        ["schedule.milestones and schedule.every say the same thing: say one of them"],
    ),
    "a warm-up of cyclic": (
        {"schedule": {"kind": "cyclic", "warmup_epochs": 1}},
        ["warmup_epochs is no setting of the schedule cyclic, which rises by itself"],
    ),
    "one_cycle in epochs": (
        {"schedule": {"kind": "one_cycle", "per": "epoch"}},
        ["per is no setting of the schedule one_cycle, which moves at every step"],
    ),
    "a constant rate in epochs": (
        {"schedule": {"kind": "constant", "per": "epoch"}},
        ["per does nothing where the rate stays"],
    ),
    "a factor of no warm-up": (
        {"schedule": {"warmup_factor": 0.1}},
        ["warmup_factor needs warmup_epochs"],
    ),
    "a decay of one cycle": (
        {"schedule": {"cycle_decay": 0.5}},
        ["cycle_decay needs cycles above"],
    ),
    "both forms of smoothing": (
        {"label_smoothing": 0.1, "loss": {"label_smoothing": 0.1}},
        ["label_smoothing and loss.label_smoothing say the same thing: say one of them"],
    ),
    "nesterov alone": (
        {"optimizer": {"momentum": 0.0, "nesterov": True}},
        ["nesterov needs a momentum above 0"],
    ),
    "a crop's range beside another augment": (
        {"data": {"augment": "affine", "scale": [0.5, 1.0], "ratio": [1.0, 1.0]}},
        [
            "scale is a setting of the augment random_resized_crop, not of affine",
            "ratio is a setting of the augment random_resized_crop, not of affine",
        ],
    ),
    "a crop's range beside none": (
        {"data": {"scale": [0.08, 1.0]}},
        ["scale is a setting of the augment random_resized_crop, not of none"],
    ),
    "OpenCV beside no crop, and another interpolation": (
        {"data": {"image_backend": "opencv", "interpolation": "bicubic"}},
        [
            "image_backend opencv crops for the augment random_resized_crop, not for none",
            "image_backend opencv interpolates bilinear, not bicubic",
        ],
    ),
    "colours beside a policy": (
        {"data": {"auto_augment": "augmix", "color_jitter": 0.4}},
        ["color_jitter goes without auto_augment, which changes colours itself"],
    ),
    "a probability of no mixing": (
        {"data": {"mix_probability": 0.5}},
        ["mix_probability needs mixup or cutmix above 0"],
    ),
    "a batch of one that is mixed": (
        {"batch_size": 1, "data": {"mixup": 0.2, "cutmix": 1.0}},
        [
            "mixup needs a batch_size of 2 or more: it mixes images of a batch",
            "cutmix needs a batch_size of 2 or more: it mixes images of a batch",
        ],
    ),
    **{
        f"{key} of another policy": (
            {"data": {"auto_augment": {"kind": kind, key: value}}},
            [f"{key} is a setting of {owners}, not of {kind}"],
        )
        for kind, key, value, owners in (
            ("augmix", "operations", 2, "randaugment"),
            ("autoaugment", "probability", 0.5, "randaugment"),
            ("trivialaugment", "magnitude", 5, "randaugment and augmix"),
            ("augmix", "magnitude_std", 0.5, "randaugment and autoaugment"),
            ("randaugment", "policy", "cifar10", "autoaugment"),
            ("randaugment", "width", 3, "augmix"),
            ("autoaugment", "depth", 1, "augmix"),
            ("trivialaugment", "alpha", 1.0, "augmix"),
        )
    },
    "scaling alone": (
        {"scaling": "scale_rate"},
        ["scaling needs a global_batch, kept or scaled by"],
    ),
}
OF_THE_RUN = {
    "warm-up": (
        {"schedule": {"warmup_epochs": 11}},
        ["warmup_epochs (=11) must be at most the 10 epochs of the run"],
    ),
    "final": (
        {"schedule": {"learning_rate": 0.01, "final": 0.1}},
        ["final (=0.1) must be at most the learning_rate (=0.01) that it falls from"],
    ),
    "final of the last cycle": (
        {"schedule": {"learning_rate": 0.4, "final": 0.15, "cycles": 3, "cycle_decay": 0.5}},
        ["final (=0.15) must be at most the 0.1 of the last cycle that it falls from"],
    ),
    "cycles longer than the run": (
        {"schedule": {"cycles": 3, "decay_epochs": 3, "warmup_epochs": 2}},
        ["3 cycles of decay_epochs (=3) must be at most the 8 epochs behind the warm-up"],
    ),
    "a step behind the run": (
        {"schedule": {**STEP, "every": 9, "warmup_epochs": 1}},
        ["every (=9) must be less than the 9 epochs behind the warm-up"],
    ),
    "beyond the run": (
        {"schedule": {**STEP, "milestones": [5, 10, 30]}},
        ["[1] (=10)", "[2] (=30)"],
    ),
    "at the start": ({"schedule": {**STEP, "milestones": [0, 5]}}, ["[0] (=0) must lie between"]),
    "within the warm-up": (
        {"schedule": {**STEP, "milestones": [2, 6], "warmup_epochs": 3}},
        ["[0] (=2) must lie between epochs 3 and 10"],
    ),
    "not in order": (
        {"schedule": {**STEP, "milestones": [0.75, 0.5]}},
        ["milestones[1] (=0.5) must come after the one before it"],
    ),
    "twice": ({"schedule": {**STEP, "milestones": [5, 5]}}, ["[1] (=5) must come after"]),
    "a share and its epoch": (
        {"schedule": {**STEP, "milestones": [0.5, 5]}},
        ["[1] (=5) must come"],
    ),
}
UNITS = {
    "of 0-1": (
        {"data": {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}},
        [
            "mean (=[0.485, 0.456, 0.406]) must be in 0-255 units; "
            "what is [0.485, 0.456, 0.406] in 0-1 is [123.675, 116.28, 103.53] here",
            "std (=[0.229, 0.224, 0.225]) must be in 0-255 units, each 1 or more; "
            "what is [0.229, 0.224, 0.225] in 0-1 is [58.395, 57.12, 57.375] here",
        ],
    ),
    "half": ({"data": {"mean": [0.5]}}, ["mean (=[0.5]) must be in 0-255 units; what is"]),
    "nearly nothing": (
        {"data": {"std": [1e-30]}},
        ["std (=[1e-30]) must be in 0-255 units, each 1 or more"],
    ),
    "one of three": ({"data": {"std": [60.0, 0.2, 60.0]}}, ["std (=[60, 0.2, 60]) must be"]),
}
REFUSED = OF_ANOTHER_VALUE | OF_THE_RUN | UNITS
FINE = {
    "raw pixels": {"data": {"mean": [0.0], "std": [1.0]}},
    "black": {"data": {"mean": [0.0, 0.0, 10.0], "std": [1.0, 2.0, 3.0]}},
    "warm-up alone": {"schedule": {"warmup_epochs": 10}},
    "step": {"schedule": {"kind": "step", "milestones": [0.5, 6, 0.75], "factor": 0.5}},
    "step behind a warm-up": {"schedule": {**STEP, "milestones": [3, 5], "warmup_epochs": 2}},
    "nothing falls": {"schedule": {"learning_rate": 0.1, "final": 0.1}},
    "one_cycle": {"schedule": {"kind": "one_cycle", "warmup_epochs": 2, "warmup_factor": 0.1}},
    "every": {"schedule": {**STEP, "every": 3, "warmup_epochs": 2}},
    "cycles": {"schedule": {"cycles": 2, "cycle_decay": 0.5, "decay_epochs": 4}},
    "epochs": {"schedule": {"kind": "constant", "per": "epoch", "warmup_epochs": 2}},
    "a loss of everything": {
        "loss": {"kind": "focal", "gamma": 1.0, "label_smoothing": 0.1, "class_weights": "balanced"}
    },
    "an update of everything": {
        "amp": "O3",
        "val_amp": "O0",
        "loss_scale": "dynamic",
        "dynamic_loss_scale": {"window": 10},
        "clip": {"norm": 1.0},
        "accumulate": 4,
        "ema": {"decay": 0.99, "warmup": False},
        "freeze": "stem, blocks 1-2",
        "optimizer": {"kind": "lamb", "betas": [0.8, 0.9], "eps": 1e-4, "layer_decay": 0.75},
    },
    "each optimizer": {"optimizer": {"kind": "rmsprop", "alpha": 0.9, "momentum": 0.5}},
    "nesterov": {"optimizer": {"kind": "nesterov"}},
    "mixing": {"data": {"mixup": 0.2, "cutmix": 1.0, "mix_probability": 0.5}},
    "no mixing": {"data": {"mixup": 0.0, "cutmix": 0.0, "mix_probability": 1.0}},
    "Pillow": {"data": {"image_backend": "pillow", "interpolation": "bicubic"}},
    "OpenCV": {"data": {"image_backend": "opencv", "augment": "random_resized_crop"}},
    "policy": {"data": {"auto_augment": "trivialaugment", "color_jitter": 0.0}},
    "flips of what is not mirrored else": {"data": {"hflip": 0.5, "vflip": 0.5}},
    "off": {"loss_scale": 1.0, "optimizer": {"momentum": 0.0, "nesterov": False}},
}


def written(tmp_path: Path, values: dict[str, object], name: str = "r.yaml") -> Path:
    (tmp_path / name).write_text(to_yaml(values))
    return tmp_path / name


@pytest.mark.parametrize(("values", "rules"), REFUSED.values(), ids=REFUSED)
def test_a_setting_that_would_do_nothing_is_refused(values, rules, tmp_path):
    """At its place, with the rule; all at once."""
    with pytest.raises(SpecError) as caught:
        load_recipe(written(tmp_path, BASE | values))
    faults = caught.value.diagnostics
    assert [fault.code for fault in faults] == ["S006"] * len(rules)
    assert all(rule in fault.message for rule, fault in zip(rules, faults, strict=True))
    assert all(":" in fault.where.removeprefix(str(tmp_path)) for fault in faults)


@pytest.mark.parametrize("values", FINE.values(), ids=FINE)
def test_a_setting_that_does_something_is_not(values, tmp_path):
    """Nor is one that says that something is off; and what is saved reads back equal."""
    recipe = load_recipe(written(tmp_path, BASE | values))
    assert (
        load_recipe(written(tmp_path, recipe.resolved(), "saved.yaml")).resolved()
        == recipe.resolved()
    )


@pytest.mark.parametrize("name", shipped("recipe"))
def test_shipped_recipes_say_nothing_useless_and_read_back(name, tmp_path):
    """What a run saves of them has no setting that means nothing there."""
    recipe = load_recipe(name)
    values = recipe.resolved()
    again = load_recipe(written(tmp_path, values))
    assert again.resolved() == values
    assert again == recipe
    assert ("milestones" in values["schedule"]) == (recipe.schedule.kind == "step")


LEFT = {
    "momentum of sgd": ("imagefolder", ["optimizer.kind=rmsprop"], "optimizer", {"momentum": 0.0}),
    "nothing of momentum": ("imagefolder", ["optimizer.kind=adamw"], "optimizer", {"eps": 1e-8}),
    "betas of adam": (
        {**BASE, "optimizer": {"kind": "adam", "betas": [0.5, 0.6]}},
        ["optimizer.kind=lion"],
        "optimizer",
        {"betas": [0.9, 0.99]},
    ),
    "momentum by its name": (
        "imagenet_ascend",
        ["optimizer.kind=momentum"],
        "optimizer",
        {"momentum": 0.9, "nesterov": False},
    ),
    "factor of step": ("cifar_paper", ["schedule.kind=exponential"], "schedule", {"factor": 0.9}),
    "milestones of step": ("cifar_paper", ["schedule.every=30"], "schedule", {"every": 30}),
}


@pytest.mark.parametrize(("name", "settings", "part", "left"), LEFT.values(), ids=LEFT)
def test_another_kind_has_its_own_defaults(name, settings, part, left, tmp_path):
    """Of what the parent's kind says by itself nothing is left; what a run saves says all."""
    child = {"extends": name} if isinstance(name, str) else name
    recipe = load_recipe(written(tmp_path, child), settings)
    saved = recipe.resolved()
    assert {key: saved[part].get(key) for key in left} == left
    assert load_recipe(written(tmp_path, saved, "saved.yaml")) == recipe
    assert "milestones" not in saved["schedule"] or "every" not in saved["schedule"]


REPLACING = {
    "cifar_paper": ["schedule.kind=cosine"],
    "imagenet_paper": ["schedule={kind: constant}"],
    "imagenet_ascend": ["amp=O0", "schedule.kind=step"],
    "mnist": ["optimizer.momentum=0.0"],
    "imagefolder_finetune": ["global_batch=null"],
    "imagefolder": ["data.augment=affine"],
}


@pytest.mark.parametrize(("name", "settings"), REPLACING.items(), ids=REPLACING)
def test_what_is_said_leaves_no_setting_of_the_other_value(name, settings, tmp_path):
    """With --set and in a child alike."""
    from_line = load_recipe(name, settings)
    child: dict[str, object] = {"extends": name}
    for setting in settings:
        (path, value) = setting.split("=", 1)
        keys = path.split(".")
        plain = {"O0": "O0", "null": None, "0.0": 0.0}.get(value, value)
        plain = {"kind": "constant"} if value.startswith("{") else plain
        child[keys[0]] = {keys[1]: plain} if keys[1:] else plain
    from_child = load_recipe(written(tmp_path, child))
    assert from_child.resolved() | {"name": name} == from_line.resolved() | {"name": name}


@pytest.mark.parametrize(
    "settings",
    [
        ["schedule.milestones=[0.5]", "schedule.kind=cosine"],
        ["schedule.kind=cosine", "schedule.milestones=[0.5]"],
        ["loss_scale=8.0", "amp=O0"],
        ["optimizer.nesterov=true", "optimizer.momentum=0.0"],
    ],
)
def test_two_that_are_typed_are_refused_in_any_order(settings):
    """Neither is a parent's: the user means both."""
    with pytest.raises(SpecError, match=r"^--set .* S006"):
        load_recipe("imagenet_paper", settings)


def test_a_flag_against_a_setting_is_refused():
    """--lr and --set recipe.schedule.learning_rate, where they differ; so it is for every flag."""
    settings = ["schedule.learning_rate=0.1", ("schedule.learning_rate", 0.2)]
    with pytest.raises(SpecError, match=r"S011 schedule.learning_rate is replaced by override"):
        load_recipe("digits", settings)
    assert load_recipe("digits", [settings[0], ("schedule.learning_rate", 0.1)])


def test_a_recipes_overrides_of_the_spec_give_way_to_the_users(tmp_path):
    """They are its defaults; nobody typed them."""
    recipe = written(tmp_path, {"extends": "digits", "overrides": {"drop_rate": 0.2}})
    plan = plan_run("densenetbc_digits", recipe_name=str(recipe), spec_overrides=["drop_rate=0.1"])
    assert plan.spec.drop_rate == 0.1


def test_a_rate_that_is_scaled_leaves_other_schedules_alone(tmp_path):
    """Only a cosine has an end to be scaled too."""
    settings = {"extends": "cifar_paper", "scaling": "scale_rate", "batch_size": 32}
    plan = plan_run("densenetbc_digits", recipe_name=str(written(tmp_path, settings)))
    assert (plan.recipe.schedule.learning_rate, plan.recipe.schedule.kind) == (0.05, "step")
    assert isinstance(plan.recipe, Recipe)
