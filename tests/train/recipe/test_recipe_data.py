"""What a recipe says of images: its short forms, its bounds, its faults."""

from pathlib import Path

import pytest

from archspec.errors import DataError, SpecError
from archspec.files import to_yaml
from archspec.spec.load import load_spec
from archspec.train.data.datasets import open_data
from archspec.train.data.images.mixing import Mixing
from archspec.train.data.inputs import make_preprocess, split_by_recipe
from archspec.train.recipe.augmentation import ErasingRecipe, PolicyRecipe
from archspec.train.recipe.recipe import load_recipe


def written(tmp_path: Path, name: str, values: dict[str, object]) -> Path:
    (tmp_path / name).write_text(to_yaml(values))
    return tmp_path / name


# ---- short forms

SHORT = {"extends": "imagefolder", "data": {"auto_augment": "randaugment", "random_erasing": 0.25}}


def test_a_name_or_a_number_is_short_for_the_mapping(tmp_path):
    """In a file and with --set; what is saved reads back equal."""
    long = {"auto_augment": {"kind": "randaugment"}, "random_erasing": {"probability": 0.25}}
    short = load_recipe(written(tmp_path, "short.yaml", SHORT))
    assert short == load_recipe(written(tmp_path, "long.yaml", {**SHORT, "data": long}))
    settings = ["data.auto_augment=randaugment", "data.random_erasing=0.25"]
    assert load_recipe("imagefolder", settings).data == short.data
    assert short.data.auto_augment == PolicyRecipe(kind="randaugment")
    assert short.data.random_erasing == ErasingRecipe(probability=0.25)
    assert load_recipe(written(tmp_path, "saved.yaml", short.resolved())) == short


def test_a_setting_may_be_added_to_a_short_form(tmp_path):
    """By a child, and with --set: it means the mapping that the name is short for."""
    parent = written(tmp_path, "parent.yaml", SHORT)
    added = {"auto_augment": {"magnitude": 7}, "random_erasing": {"value": "random"}}
    child = written(tmp_path, "child.yaml", {"extends": "./parent.yaml", "data": added})
    settings = ["data.auto_augment.magnitude=7", "data.random_erasing.value=random"]
    for data in (load_recipe(child).data, load_recipe(parent, settings).data):
        assert data.auto_augment == PolicyRecipe(kind="randaugment", magnitude=7.0)
        assert data.random_erasing == ErasingRecipe(probability=0.25, value="random")


def test_another_policy_leaves_no_settings_of_the_parents(tmp_path):
    """In a child and with --set; null leaves no policy at all."""
    policy = {"kind": "randaugment", "operations": 3, "probability": 0.5, "magnitude": 4}
    parent = written(tmp_path, "p.yaml", {"extends": "digits", "data": {"auto_augment": policy}})
    child = {"extends": "./p.yaml", "data": {"auto_augment": {"kind": "augmix", "width": 2}}}
    found = load_recipe(written(tmp_path, "child.yaml", child)).data.auto_augment
    assert found == PolicyRecipe(kind="augmix", width=2, magnitude=4.0)
    assert load_recipe(parent, ["data.auto_augment=augmix"]).data.auto_augment == PolicyRecipe(
        kind="augmix"
    )
    assert load_recipe(parent, ["data.auto_augment=null"]).data.auto_augment is None


@pytest.mark.parametrize("policy", ["randaugment", "augmix"])
def test_a_policy_takes_the_place_of_the_parents_colour_jitter(policy):
    """As in MindCV and timm, which leave it out beside one."""
    recipe = load_recipe("imagenet_ascend", [f"data.auto_augment={policy}"])
    assert recipe.data.color_jitter == 0.0
    assert load_recipe("imagenet_ascend").data.color_jitter == 0.4


@pytest.mark.parametrize(("kind", "strength"), [("randaugment", 9.0), ("augmix", 3.0)])
def test_a_policy_has_the_magnitude_of_its_kind_where_none_is_said(kind, strength):
    """And the one that is said."""
    assert PolicyRecipe(kind=kind).strength == strength
    assert PolicyRecipe(kind=kind, magnitude=0.0).strength == 0.0


# ---- bad input

OFF = {
    "data.auto_augment=randaug": "S005 data.auto_augment (=randaug) must be one of 'randaugment', "
    "'autoaugment', 'trivialaugment' or 'augmix' (did you mean 'randaugment'?)",
    "data.auto_augment=3": "S005 data.auto_augment (=3) must be one of 'randaugment', "
    "'autoaugment', 'trivialaugment' or 'augmix'",
    "data.auto_augment={magnitude: 3}": "S002 data.auto_augment must have the key 'kind'",
    "data.auto_augment={kind: augmix, depht: 3}": "S001 unknown key 'data.auto_augment.depht' "
    "(did you mean 'depth'?)",
    "data.auto_augment={kind: augmix, magnitude: 11}": "S004 data.auto_augment.magnitude (=11) "
    "must be in [0, 10]",
    "data.random_erasing=1.5": "S004 data.random_erasing (=1.5) must be in [0, 1]",
    "data.random_erasing=true": "S003 data.random_erasing (=true) must be a number "
    "(true and false are no numbers)",
    "data.random_erasing={value: 1}": "S002 data.random_erasing must have the key 'probability'",
    "data.random_erasing={probability: 1, value: rand}": "S005 data.random_erasing.value (=rand) "
    "must be one of 'random'",
    "data.random_erasing={probability: 1, ratio: [3, 0.3]}": "S006 ratio (=[3, 0.3]) must rise: "
    "[0.3, 3]",
    "data.random_erasing={probability: 1, scale: [0.0, 0.3]}": "S004 data.random_erasing.scale[0] "
    "(=0.0) must be in (0, 1]",
    "data.scale=[0.5, 0.1]": "S006 scale (=[0.5, 0.1]) must rise: [0.1, 0.5]",
    "data.scale=[0.5]": "S004 data.scale (=[0.5]) must have at least 2 entries",
    "data.ratio=[1, 2, 3]": "S004 data.ratio (=[1, 2, 3]) must have at most 2 entries",
    "data.ratio=0.5, 2": "S003 data.ratio (=0.5, 2) must be a list (write [0.5, 2])",
    "data.mixup=-0.2": "S004 data.mixup (=-0.2) must be in [0, 100]",
    "data.cutmix=.inf": "S004 data.cutmix (=inf) must be a finite number in [0, 100]",
    "data.mixup=true": "S003 data.mixup (=true) must be a number (true and false are no numbers)",
    "data.mix_probability=2": "S004 data.mix_probability (=2) must be in [0, 1]",
    "data.hflip=-1": "S004 data.hflip (=-1) must be in [0, 1]",
    "data.vflip='0.5'": "S003 data.vflip (=0.5) must be a number (without the quotes)",
    "data.interpolation=cubic": "S005 data.interpolation (=cubic) must be one of 'bilinear', "
    "'bicubic' or 'nearest' (did you mean 'bicubic'?)",
    "data.resize=opencv": "S005 data.resize (=opencv) must be one of 'pillow' or 'mindspore'",
    "data.image_backend=cv2": "S005 data.image_backend (=cv2) must be one of 'pillow' or 'opencv'",
    "data.repeats=0": "S004 data.repeats (=0) must be in [1, 16]",
    "data.samples=0": "S004 data.samples (=0) must be in [1, 2147483648]",
    "data.shuffle=1": "S003 data.shuffle (=1) must be true or false",
}


@pytest.mark.parametrize(("setting", "fault"), OFF.items(), ids=OFF)
def test_what_cannot_be_is_refused_with_field_value_and_rule(setting, fault):
    """At the setting, with a cure where there is one."""
    with pytest.raises(SpecError) as caught:
        load_recipe("imagefolder", [setting])
    (found,) = caught.value.diagnostics
    assert found.where.startswith("--set data.")
    assert str(found).partition(f"{found.where} ")[2].startswith(fault)


FOREIGN = {
    "re_prob": "random_erasing",
    "re_max_attempts": "random_erasing.attempts",
    "cutmix_prob": "mix_probability",
    "mixup_alpha": "mixup",
    "aug_repeats": "repeats",
    "num_samples": "samples",
    "num_parallel_workers": "workers",
}


@pytest.mark.parametrize(("key", "ours"), FOREIGN.items(), ids=FOREIGN)
def test_a_key_of_other_zoos_is_answered_with_ours(key, ours):
    """MindCV's, timm's and torchvision's."""
    with pytest.raises(SpecError, match=rf"'data.{key}' \(--set recipe.data.{ours}=1\)"):
        load_recipe("imagefolder", [f"data.{key}=1"])


# ---- from the recipe to the images

REACHING = {
    "interpolation": "bicubic",
    "resize": "mindspore",
    "image_backend": "opencv",
    "scale": (0.5, 0.9),
    "ratio": (0.5, 2.0),
    "hflip": 0.25,
    "vflip": 0.5,
    "crop_pct": 0.5,
    "color_jitter": 0.125,
}
PARTS = {
    "auto_augment": ({"kind": "augmix", "width": 2}, PolicyRecipe(kind="augmix", width=2)),
    "random_erasing": (0.5, ErasingRecipe(probability=0.5)),
}
CASES = [(key, value, value) for key, value in REACHING.items()]
CASES += [(key, *forms) for key, forms in PARTS.items()]


@pytest.mark.parametrize(("key", "said", "value"), CASES)
def test_each_key_reaches_the_images(key, said, value):
    """As it is said, and nothing of it where nothing is."""
    spec = load_spec("densenet121")
    recipe = load_recipe("imagefolder", {f"data.{key}": said})
    assert getattr(make_preprocess(spec, recipe), key) == value
    assert getattr(make_preprocess(spec, load_recipe("imagefolder")), key) != value


def test_targets_of_mixing_are_as_wide_as_the_networks_outputs():
    """Which may be more than the data has classes; without mixing there is none."""
    spec = load_spec("densenet121", ["head.num_classes=37"])
    settings = {"data.mixup": 0.2, "data.cutmix": 1.0, "data.mix_probability": 0.75}
    assert make_preprocess(spec, load_recipe("imagefolder", settings)).mixing == Mixing(
        0.2, 1.0, 0.75, classes=37
    )
    assert make_preprocess(spec, load_recipe("imagefolder")).mixing is None


# ---- the number of samples


def test_so_many_of_the_training_images_are_learnt_from():
    """Drawn by the seed, each once, in their order; the other parts stay whole."""
    data, whole = open_data(None), split_by_recipe(load_recipe("digits"), open_data(None))
    few = split_by_recipe(load_recipe("digits", ["data.samples=100"]), data)
    again = split_by_recipe(load_recipe("digits", ["data.samples=100"]), data)
    other = split_by_recipe(load_recipe("digits", ["data.samples=100", "seed=1"]), data)
    assert len(few.train) == 100
    assert few.train.rows.tolist() == again.train.rows.tolist() == sorted({*few.train.rows})
    assert {*few.train.rows} <= {*whole.train.rows}
    assert {*few.train.rows} != {*other.train.rows}
    assert (len(few.val), len(few.test)) == (len(whole.val), len(whole.test))
    assert len(set(few.train.labels)) == 10
    every = split_by_recipe(load_recipe("digits", [f"data.samples={len(whole.train)}"]), data)
    assert every.train.rows.tolist() == whole.train.rows.tolist()


def test_more_samples_than_there_are_images_are_refused():
    """With both numbers, at the setting."""
    with pytest.raises(DataError) as caught:
        split_by_recipe(load_recipe("digits", ["data.samples=5000"]), open_data(None))
    assert str(caught.value).startswith(
        "--set data.samples=5000 D008 data.samples (=5000) must be "
    )
    assert "at most the 1295 training images" in str(caught.value)
