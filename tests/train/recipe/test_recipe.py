"""Recipes are read as specs are: the same errors, the same inheritance, the same overrides."""

import pytest

from archspec.errors import Place, SpecError, TrainingError
from archspec.files import to_yaml
from archspec.spec.load import load_spec
from archspec.spec.override import Override
from archspec.train.planning import create, plan_run
from archspec.train.recipe.data import DataRecipe
from archspec.train.recipe.optimizer import OptimizerRecipe
from archspec.train.recipe.recipe import Recipe, load_recipe
from archspec.train.recipe.scaling import describe_norms, scale_recipe
from archspec.train.recipe.schedule import ScheduleRecipe
from densenet_cli.options import place_typed

SHIPPED = (
    "digits",
    "digits_finetune",
    "imagefolder",
    "imagefolder_finetune",
    "cifar_finetune",
    "cifar_paper",
    "cifar_paper_plain",
    "imagenet_ascend",
    "imagenet_paper",
    "mnist",
    "mnist_finetune",
)
IMAGENET = {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375), "crop_pct": 0.875}


def faults_of(tmp_path, text):
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_recipe(file)
    return [str(fault).replace(str(file), "recipe.yaml") for fault in caught.value.diagnostics]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipes_read_back_from_what_a_run_saves(name, tmp_path):
    """The resolved recipe is the same recipe, nothing left to look up."""
    recipe = load_recipe(name)
    (tmp_path / "again.yaml").write_text(to_yaml(recipe.resolved()))
    assert load_recipe(tmp_path / "again.yaml") == recipe


def test_the_papers_recipe_is_the_papers():
    """Section 4.2 of arXiv 1608.06993: 300 epochs of 64, SGD 0.1,
    Nesterov 0.9, decay 1e-4, steps at 50 and 75 %.
    """
    recipe = load_recipe("cifar_paper")
    assert (recipe.epochs, recipe.batch_size) == (300, 64)
    assert (
        recipe.optimizer.momentum,
        recipe.optimizer.nesterov,
        recipe.optimizer.weight_decay,
    ) == (0.9, True, 1e-4)
    assert (recipe.schedule.kind, recipe.schedule.learning_rate) == ("step", 0.1)
    assert (recipe.schedule.milestones, recipe.schedule.factor) == ((0.5, 0.75), 0.1)


def test_mindcvs_recipe_is_mindcvs():
    """Each value of configs/densenet/densenet_*_ascend.yaml
    and of the defaults that it leaves on.
    """
    recipe = load_recipe("imagenet_ascend")
    assert recipe == Recipe(
        name="imagenet_ascend",
        source=recipe.source,
        epochs=120,
        batch_size=32,
        global_batch=32 * 8,
        scaling="scale_rate",
        initialisation="he_normal_fan_out",
        label_smoothing=0.1,
        amp="O2",
        loss_scale=1024.0,
        keep_checkpoints=10,
        optimizer=OptimizerRecipe(
            momentum=0.9, nesterov=False, weight_decay=1e-4, decay_norm_and_bias=True
        ),
        schedule=ScheduleRecipe(kind="cosine", learning_rate=0.1, final=0.0, warmup_epochs=0),
        data=DataRecipe(augment="random_resized_crop", color_jitter=0.4, workers=8, **IMAGENET),
    )


def test_the_papers_recipe_for_imagenet_is_the_papers():
    """Section 4.2: 90 epochs of 256, 0.1 divided by 10 at epochs 30 and 60,
    Nesterov 0.9, decay 1e-4 on all.
    """
    recipe = load_recipe("imagenet_paper")
    assert (recipe.epochs, recipe.batch_size, recipe.global_batch) == (90, 256, 256)
    assert recipe.optimizer == OptimizerRecipe(momentum=0.9, nesterov=True, weight_decay=1e-4)
    assert recipe.schedule == ScheduleRecipe(
        kind="step", learning_rate=0.1, milestones=(30, 60), factor=0.1
    )
    assert recipe.data == DataRecipe(augment="random_resized_crop", color_jitter=0.4, **IMAGENET)
    assert (recipe.label_smoothing, recipe.amp, recipe.initialisation) == (
        0.0,
        "O0",
        "he_normal_fan_out",
    )


def test_without_augmentation_the_papers_recipe_drops_a_fifth():
    """Else it is the recipe with augmentation; the rate reaches the network."""
    plain, usual = load_recipe("cifar_paper_plain"), load_recipe("cifar_paper")
    assert (plain.data.augment, usual.data.augment, usual.overrides) == (
        "none",
        "pad_crop_flip",
        {},
    )
    assert (plain.optimizer, plain.schedule, plain.epochs) == (
        usual.optimizer,
        usual.schedule,
        usual.epochs,
    )
    spec = load_spec("densenet40_k12", plain.spec_overrides())
    assert (spec.drop_rate, spec.drop_after) == (0.2, "conv")


# ---- other numbers of devices, other batches

KEPT = {"global_batch": 256, "scaling": "keep_global_batch"}
SCALED = {"global_batch": 256, "scaling": "scale_rate"}


def plan_with(settings, *given, devices=1):
    """The plan of training on the digits under a recipe with these settings,
    and what the user adds.
    """
    written = [Override(setting, Place("recipe.yaml")) for setting in settings.items()]
    return plan_run("densenetbc_digits", recipe_overrides=[*written, *given], devices=devices)


CASES = {
    "kept on two": (
        KEPT,
        (),
        2,
        128,
        0.1,
        "256 = 2 devices x 128 images: kept, so the learning rate stays 0.1",
    ),
    "kept on one": (
        KEPT,
        (),
        1,
        256,
        0.1,
        "256 = 1 device x 256 images: kept, so the learning rate stays 0.1",
    ),
    "kept already": (
        {**KEPT, "batch_size": 128},
        (),
        2,
        128,
        0.1,
        "256 = 2 devices x 128 images, as the recipe has it",
    ),
    "scaled down": (
        SCALED,
        (),
        1,
        64,
        0.025,
        "64 = 1 device x 64 images instead of 256: learning rate scaled linearly, 0.1 -> 0.025",
    ),
    "scaled up": (
        {**SCALED, "global_batch": 32},
        (),
        2,
        64,
        0.4,
        "128 = 2 devices x 64 images instead of 32: learning rate scaled linearly, 0.1 -> 0.4",
    ),
    "nothing to scale": (
        SCALED,
        (),
        4,
        64,
        0.1,
        "256 = 4 devices x 64 images, as the recipe has it",
    ),
    "a batch of the user's own": (
        KEPT,
        ("batch_size=16",),
        2,
        16,
        0.0125,
        "32 = 2 devices x 16 images instead of 256: learning rate scaled linearly, 0.1 -> 0.0125",
    ),
    "a batch of the user's own that keeps all": (
        KEPT,
        ("batch_size=64",),
        4,
        64,
        0.1,
        "256 = 4 devices x 64 images, as the recipe has it",
    ),
    "a rate of the user's own": (
        SCALED,
        ("schedule.learning_rate=0.3",),
        1,
        64,
        0.3,
        "64 = 1 device x 64 images instead of 256; learning rate 0.3 as given, not scaled",
    ),
    "kept, in batches of an update": (
        {**KEPT, "accumulate": 4},
        (),
        2,
        32,
        0.1,
        "256 = 2 devices x 4 batches x 32 images: kept, so the learning rate stays 0.1",
    ),
    "scaled, by batches of an update": (
        {**SCALED, "accumulate": 2},
        (),
        1,
        64,
        0.05,
        "128 = 1 device x 2 batches x 64 images instead of 256: "
        "learning rate scaled linearly, 0.1 -> 0.05",
    ),
    "a recipe that says nothing": (
        {},
        (),
        2,
        64,
        0.1,
        "128 = 2 devices x 64 images; recipe digits names no global_batch: learning rate 0.1",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_other_devices_keep_the_global_batch_or_scale_the_rate_as_the_recipe_says(case):
    """Batch per device, rate, and the line that tells which was done."""
    settings, given, devices, batch_size, rate, line = CASES[case]
    plan = plan_with(settings, *given, devices=devices)
    assert (plan.recipe.batch_size, plan.recipe.schedule.learning_rate) == (
        batch_size,
        pytest.approx(rate, rel=1e-12),
    )
    norms = f"batch norm: statistics of the {batch_size} images of each device"
    assert plan.notes == (f"global batch {line}", norms)[: min(devices, 2)]
    whole = batch_size * devices * plan.recipe.accumulate
    assert plan.recipe.global_batch in (None, whole)


@pytest.mark.parametrize(
    "settings", [{}, {**KEPT, "global_batch": 64}, {**SCALED, "global_batch": 64}]
)
def test_one_device_with_the_recipes_batch_changes_nothing_and_says_nothing(settings):
    """The recipe is as it is written."""
    plan = plan_with(settings)
    assert plan.notes == ()
    assert (plan.recipe.batch_size, plan.recipe.schedule) == (64, load_recipe("digits").schedule)


@pytest.mark.parametrize("kind", ["cosine", "polynomial", "one_cycle", "cyclic"])
def test_the_end_of_a_schedule_is_scaled_with_its_start(kind):
    """The whole schedule is multiplied."""
    settings = {**SCALED, "schedule.kind": kind, "schedule.final": 0.01}
    schedule = plan_with(settings).recipe.schedule
    assert (schedule.learning_rate, schedule.final) == (pytest.approx(0.025), pytest.approx(0.0025))


@pytest.mark.parametrize("settings", [KEPT, SCALED])
def test_a_run_keeps_the_recipe_as_it_was_scaled(settings, tmp_path):
    """So that one that goes on repeats it;
    the same devices under that recipe change nothing more.
    """
    plan = plan_with(settings, devices=2)
    run = create(plan, tmp_path / "run")
    assert run.recipe == plan.recipe
    assert scale_recipe(run.recipe, 2).overrides == ()


def test_devices_that_cannot_share_the_global_batch_are_refused_with_a_cure():
    """T010 at the recipe's line; with the other faults of the call, all at once; the cure works."""
    with pytest.raises(TrainingError) as caught:
        plan_run("densent121", recipe_name="imagenet_paper", devices=3)
    spec, devices = map(str, caught.value.diagnostics)
    assert "S010" in spec
    rule = "T010 global_batch (=256) must be a multiple of the 3 devices that share it"
    assert devices.endswith(
        f"recipes/imagenet_paper.yaml:6:15 {rule} (--devices 2, or --batch-size N, "
        "which scales the learning rate)"
    )
    assert plan_with(KEPT, "batch_size=8", devices=3).recipe.batch_size == 8
    with pytest.raises(TrainingError, match=r"multiple of the 3 batches that share it") as caught:
        plan_with({**KEPT, "accumulate": 3})
    assert caught.value.diagnostics[0].hint.startswith("--batch-size N")
    with pytest.raises(TrainingError, match=r"multiple of the 2 devices x 3 batches that share"):
        plan_with({**KEPT, "accumulate": 3}, devices=2)


@pytest.mark.parametrize("name", ["r.yaml", "override r.yaml", "--set r.yaml", "--lr 1:2:3.yaml"])
def test_a_recipe_trains_alike_whatever_its_file_is_called(name, tmp_path, monkeypatch):
    """Its rate is the file's, not one that was typed, so that it follows the batch."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text(to_yaml({"extends": "digits", **SCALED, "batch_size": 64}))
    plan = plan_run("densenetbc_digits", recipe_name=name)
    assert plan.recipe.schedule.learning_rate == pytest.approx(0.1 * 64 / 256)


def test_a_share_that_is_larger_than_the_data_names_the_global_batch():
    """T007 with the place of the value that the share came from."""
    with pytest.raises(
        TrainingError,
        match=r"^GLOBAL T007 batch_size \(=1024\) must be at most the 647 training images",
    ):
        plan_run(
            "densenetbc_digits",
            recipe_overrides=[Override(("global_batch", 2048), Place("GLOBAL", "python"))],
            devices=2,
        )


def test_a_scaled_rate_obeys_the_rules_of_rates():
    """One that no run could read back is refused before there is a run."""
    with pytest.raises(
        TrainingError, match=r"digits.yaml:9:41 x 1024 / 1 S004 schedule.learning_rate \(=102.4\)"
    ):
        plan_with({"global_batch": 1, "scaling": "scale_rate"}, "batch_size=1024")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("global_batch: 0", ["recipe.yaml:2:15 S004 global_batch (=0) must be in [1, 16777216]"]),
        (
            "global_batch: many",
            ["recipe.yaml:2:15 S003 global_batch (=many) must be a whole number"],
        ),
        ("label_smoothing: 0", ["recipe.yaml:1:1 S002 the file must have the key 'batch_size'"]),
        (
            "batch_size: 3\nscaling: none\nkeep_checkpoints: -1",
            [
                "recipe.yaml:3:10 S005 scaling (=none)",
                "recipe.yaml:4:19 S004 keep_checkpoints (=-1)",
            ],
        ),
    ],
)
def test_wrong_batches_are_one_fault_each(text, found, tmp_path):
    """Where a recipe gives the global batch alone,
    a wrong one is not told of batch_size as well.
    """
    faults = faults_of(tmp_path, f"epochs: 2\n{text}\n")
    assert [line[: len(start)] for line, start in zip(faults, found, strict=True)] == found


def test_every_fault_is_reported_at_once_with_file_line_and_column(tmp_path):
    """Typos with the nearest key, values out of range, wrong types, words that are no choice."""
    text = (
        "name: mine\nextends: digits\nepoch: 3\nbatch_size: 0\n"
        "optimizer: {momentum: 1.5, nesterov: 1}\n"
        "schedule:\n  kind: linear\ndata: {std: [0]}\nseed: many\n"
    )
    found = sorted(faults_of(tmp_path, text))
    starts = [
        "recipe.yaml:3:1 S001 unknown key 'epoch' (did you mean 'epochs'?)",
        "recipe.yaml:4:13 S004 batch_size (=0)",
        "recipe.yaml:5:23 S004 optimizer.momentum (=1.5)",
        "recipe.yaml:5:38 S003 optimizer.nesterov (=1)",
        "recipe.yaml:7:9 S005 schedule.kind (=linear)",
        "recipe.yaml:8:14 S004 data.std",
        "recipe.yaml:9:7 S003 seed (=many)",
    ]
    assert [line[: len(start)] for line, start in zip(found, starts, strict=True)] == starts


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("extends: digits\nschedule: {learning_rate: .nan}\n", "S00"),
        ("extends: digits\nepochs: 3\nepochs: 4\n", "Y009"),
        ("", "Y004"),
        ("extends: no_such_recipe\n", "S010"),
        ("batch_size: 3\n", "S002 missing"),
        ("extends: digits\noptimizer: []\n", "S003"),
    ],
    ids=["nan", "duplicate", "empty", "unknown parent", "missing key", "list for a section"],
)
def test_broken_recipes_give_the_codes_of_specs(text, word, tmp_path):
    """One reader serves both."""
    found = faults_of(tmp_path, text)
    assert len(found) == 1
    assert word.partition(" ")[0] in found[0]
    assert found[0].startswith("recipe.yaml")


def test_overrides_reach_nested_keys_and_leave_the_rest(tmp_path):
    """As `--set recipe.x=y` gives them."""
    recipe = load_recipe("digits", ["epochs=2", "schedule.learning_rate=0.3", "data.augment=none"])
    plain = load_recipe("digits")
    assert (recipe.epochs, recipe.schedule.learning_rate, recipe.data.augment) == (2, 0.3, "none")
    assert (recipe.schedule.kind, recipe.data.mean) == (plain.schedule.kind, plain.data.mean)
    assert plain.epochs == 30


def test_an_override_that_leads_nowhere_is_named():
    """With the nearest key."""
    with pytest.raises(
        SpecError, match=r"--set epoch=3 S001 unknown key 'epoch' \(did you mean 'epochs'\?\)"
    ):
        load_recipe("digits", ["epoch=3"])


def test_faults_of_overrides_and_of_the_file_come_together(tmp_path):
    """The file's first; then what cannot be read,
    what leads nowhere and what is wrong, as the user typed them.
    """
    file = tmp_path / "recipe.yaml"
    file.write_text("extends: digits\nbatch_size: 0\n")
    flags = [
        Override("seed", place_typed("--set recipe.seed")),
        Override(("epochs", 0), place_typed("--epochs 0")),
        "data.3=1",
    ]
    with pytest.raises(SpecError) as caught:
        load_recipe(file, flags)
    assert [str(fault).partition(" (")[0] for fault in caught.value.diagnostics] == [
        f"{file}:2:13 S004 batch_size",
        "--set recipe.seed S011 an override is key.path=value",
        "--set data.3=1 S011 data[3]: 3 must be a key: there is no list",
        "--epochs 0 S004 epochs",
    ]


def test_what_a_recipe_sets_in_the_spec_is_told_at_the_recipes_line(tmp_path):
    """A typo and a lost index in `overrides`; what is right arrives, with its place."""
    file = tmp_path / "recipe.yaml"
    file.write_text("extends: digits\noverrides:\n  growth_rat: 3\n  blocks.9.layers: 2\n")
    with pytest.raises(SpecError) as caught:
        load_spec("densenetbc_digits", load_recipe(file).spec_overrides())
    assert [str(fault) for fault in caught.value.diagnostics] == [
        f"{file}:3:15 S001 unknown key 'growth_rat' (did you mean 'growth_rate'?)",
        f"{file}:4:20 S011 blocks[9].layers: 9 must be an index below 2",
    ]
    file.write_text("extends: digits\noverrides: {drop_rate: 0.2}\n")
    spec = load_spec("densenetbc_digits", load_recipe(file).spec_overrides())
    assert (spec.drop_rate, spec.place(("drop_rate",))) == (0.2, f"{file}:2:24")


def test_a_recipe_cannot_be_changed():
    """Values are frozen, as the digests of a run rely on."""
    with pytest.raises(ValueError, match="frozen"):
        Recipe(epochs=1, batch_size=1).epochs = 2


NORMS = {
    "each device's own": (False, 2, True, "batch norm: statistics of the 64 images of each device"),
    "of all": (True, 2, True, "batch norm: statistics of the 128 images of all devices"),
    "on one device": (False, 1, True, ""),
    "of all, on one": (True, 1, True, "sync_batch_norm does nothing on one device"),
    "of all, where none is": (
        *(True, 2, False),
        "sync_batch_norm does nothing: the network has no batch norm",
    ),
    "where none is": (False, 2, False, ""),
}


@pytest.mark.parametrize(
    ("is_synchronised", "devices", "has_any", "line"), NORMS.values(), ids=NORMS
)
def test_whose_statistics_batch_norms_take_is_said(is_synchronised, devices, has_any, line):
    """On several devices, or where the setting would do nothing."""
    settings = [f"sync_batch_norm={str(is_synchronised).lower()}"]
    recipe = load_recipe("digits", settings)
    assert describe_norms(recipe, devices, has_batch_norm=has_any) == line
