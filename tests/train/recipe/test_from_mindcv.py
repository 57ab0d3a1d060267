"""A configuration of MindCV's becomes a recipe, and says what of it could not."""

import json
import os
from bisect import bisect_right
from pathlib import Path

import pytest

from archspec.errors import SpecError
from archspec.files import to_yaml
from archspec.train.recipe.from_mindcv import read_mindcv
from archspec.train.recipe.mindcv import FLAGS, find_known_key
from archspec.train.recipe.recipe import load_recipe
from archspec.train.recipe.schedule import learning_rates

CASES = Path(__file__).parents[2] / "cases" / "mindcv"
DENSENETS = sorted(CASES.glob("densenet_*.yaml"))
OTHERS = sorted({*CASES.glob("*.yaml")} - {*DENSENETS})


def read(tmp_path, text):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    return read_mindcv(file)


def left_of(found):
    """The flags and keys that were not taken."""
    return [line.partition(" (=")[0] for line in found.left]


def test_the_table_has_each_flag_of_mindcv_with_its_default():
    """Recorded from its own parser at 51b0636."""
    defaults = json.loads((CASES / "defaults.json").read_text())
    assert FLAGS.keys() == defaults.keys()
    assert len(FLAGS) == 87
    for name, flag in FLAGS.items():
        ours = [*flag.default] if isinstance(flag.default, tuple) else flag.default
        if name in ("mean", "std"):
            assert ours == pytest.approx(defaults[name])
        else:
            assert ours == defaults[name], name


@pytest.mark.parametrize("file", DENSENETS, ids=lambda file: file.stem)
def test_its_densenets_are_the_shipped_recipe(file):
    """All four, with what the files leave to defaults; the name and the source are a file's own."""
    found = read_mindcv(file)
    expected = load_recipe("imagenet_ascend").resolved()
    made = found.recipe.resolved()
    assert made.pop("name") == file.stem
    assert made.pop("source") == f"MindCV, {file.name}"
    assert made == {key: expected[key] for key in expected if key not in ("name", "source")}
    assert found.spec == file.stem.replace("_", "").removesuffix("ascend")


@pytest.mark.parametrize("file", [*DENSENETS, *OTHERS], ids=lambda file: file.stem)
def test_what_comes_out_reads_back_as_the_same_recipe(file, tmp_path):
    """Other networks' too; and all that is not taken is a flag that the file or a default says."""
    found = read_mindcv(file)
    (tmp_path / "recipe.yaml").write_text(to_yaml(found.values))
    assert load_recipe(tmp_path / "recipe.yaml") == found.recipe
    assert found.spec
    known = {name.split(".")[-1] for flag in FLAGS.values() for key in flag.keys for name in [key]}
    assert {name.split(".")[-1] for name in left_of(found)} <= {*FLAGS, *known}


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("opt: sgd\nmomentum: 0.8\nuse_nesterov: true", {"momentum": 0.8, "nesterov": True}),
        ("opt: momentum\nweight_decay: 0.05", {"momentum": 0.9, "weight_decay": 0.05}),
        ("opt: sgd\nweight_decay_filter: norm_and_bias", {"decay_norm_and_bias": False}),
        ("opt: sgd\nweight_decay_filter: auto", {"decay_norm_and_bias": False}),
        ("opt: sgd", {"weight_decay": 1e-6, "decay_norm_and_bias": True}),
    ],
)
def test_the_optimizer_is_the_files_and_its_defaults(text, settings, tmp_path):
    """Decay 1e-6 where nothing is said; a filter that only MindSpore has is told as well."""
    found = read(tmp_path, text)
    assert found.recipe.optimizer.model_dump() | settings == found.recipe.optimizer.model_dump()
    assert ("weight_decay_filter" in left_of(found)) == ("auto" in text)


STEPPED = (
    ("multi_step_decay", "multi_step_decay_milestones: [4, 2]", lambda e: bisect_right([2, 4], e)),
    ("step_decay", "decay_epochs: 3", lambda e: e // 3),
    # A run that ends before: MindCV's own default is 100 epochs, and 30, 60, 90.
    ("step_decay", "", lambda e: 0),
    ("multi_step_decay", "", lambda e: 0),
    ("multi_step_decay", "multi_step_decay_milestones: [90, 2]", lambda e: e // 2 > 0),
)


@pytest.mark.parametrize(("kind", "rest", "drops"), STEPPED)
@pytest.mark.parametrize("warmup", [0, 2])
def test_steps_fall_where_mindcv_lets_them_fall(kind, rest, drops, warmup, tmp_path):
    """Counted from the end of the warm-up: lr x decay_rate ^ drops, as its dynamic_lr.py has it."""
    text = f"scheduler: {kind}\n{rest}\nepoch_size: 10\nlr: 0.5\ndecay_rate: 0.1\nopt: sgd\n"
    found = read(tmp_path, f"{text}warmup_epochs: {warmup}")
    rates = learning_rates(found.recipe.schedule, epochs=10, steps_per_epoch=3)
    expected = [0.5 * 0.1 ** drops(step // 3) for step in range(3 * (10 - warmup))]
    assert rates[3 * warmup :] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("color_jitter: [0.1, 0.2, 0.3]", "color_jitter"),
        ("auto_augment: other-m9", "auto_augment"),
        ("auto_augment: randaug-inc1-w0", "auto_augment"),
        ("auto_augment: randaug-m9-mstd0.5", "auto_augment"),
        ("image_resize: [224, 224, 3]", "image_resize"),
        ("dataset_sink_mode: true", "dataset_sink_mode"),
        ("drop_path_rate: 0.1", "drop_path_rate"),
        ("aux_factor: 0.4", "aux_factor"),
        ("crop_pct: 1.5", "data.crop_pct"),
        ("scheduler: falling", "schedule.kind"),
        ("pretrained: true", "pretrained"),
        ("amp_level: O2\ndrop_overflow_update: true", "drop_overflow_update"),
    ],
)
def test_what_has_no_counterpart_is_said_and_the_rest_is_taken(text, name, tmp_path):
    """One line for each."""
    found = read(tmp_path, f"lr: 0.3\nopt: sgd\n{text}")
    assert left_of(found).count(name) == 1
    assert found.recipe.schedule.learning_rate == 0.3


@pytest.mark.parametrize(
    "text",
    [
        "mode: 0\nshuffle: true\ndrop_remainder: true\nreduction: mean\naux_factor: 0.0",
        "color_jitter: null\ndrop_rate: null\nnum_samples: null",
        "hflip: 0.5\nvflip: 0.0\nscale: [0.08, 1]\nratio: [0.75, 1.333]\ninterpolation: bilinear",
        "clip_grad: false\nclip_value: 5.0\nema: false\nema_decay: 0.9\naug_repeats: 1",
        "mixup: 0.0\ncutmix: 0.0\ncutmix_prob: 0.5\nre_prob: 0.0",
        "loss_scale: 1024",
    ],
)
def test_of_what_does_nothing_nothing_is_said(text, tmp_path):
    """Defaults, and flags that mean nothing beside others; O0 needs no loss scale."""
    rest = "opt: sgd\nepoch_size: 10\nwarmup_epochs: 0\ndecay_epochs: 10\n"
    assert left_of(read(tmp_path, rest + text)) == []


def test_colours_are_jittered_by_default_and_not_beside_a_policy(tmp_path):
    """MindCV's transforms_factory.py has one or the other."""
    assert read(tmp_path, "opt: sgd").recipe.data.color_jitter == 0.4
    assert read(tmp_path, "auto_augment: autoaug").recipe.data.color_jitter == 0
    assert read(tmp_path, "color_jitter: null").recipe.data.color_jitter == 0
    assert read(tmp_path, "color_jitter: [0.2, 0.2, 0.2]").recipe.data.color_jitter == 0.2


@pytest.mark.parametrize(
    "written",
    [
        "'[nn.BatchNorm2d, nn.Dense]'",
        "[nn.BatchNorm2d, nn.Dense]",
        "\n- nn.BatchNorm2d\n- nn.Dense",
    ],
)
def test_cells_that_stay_in_full_precision_may_be_a_text_or_a_list(written, tmp_path):
    """As MindCV evaluates the one, and YAML has the other."""
    found = read(tmp_path, f"amp_level: O2\nopt: sgd\namp_cast_list: {written}")
    assert found.recipe.amp_keep_float32 == ("batch_norm", "dense")
    assert "amp_cast_list" not in left_of(found)


def test_the_spec_gets_what_the_network_gets(tmp_path):
    """As overrides: image size, channels, dropout."""
    found = read(tmp_path, "image_resize: 256\nin_channels: 1\ndrop_rate: 0.2")
    assert found.recipe.overrides == {
        "input.height": 256,
        "input.width": 256,
        "input.channels": 1,
        "drop_rate": 0.2,
    }


def test_a_distributed_run_had_eight_devices(tmp_path):
    """Or as many as are said; another has one."""
    file = tmp_path / "config.yaml"
    file.write_text("distribute: true\nbatch_size: 16")
    assert read_mindcv(file).recipe.global_batch == 128
    assert read_mindcv(file, devices=2).recipe.global_batch == 32
    assert read(tmp_path, "batch_size: 16").recipe.global_batch == 16


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("lr: fast\nepoch_size: true", ["1:5 S003 lr (=fast) must be a number", "2:13 S003"]),
        ("growth_rate: 32", [" S001 holds no key of a MindCV configuration"]),
        ("- 1", [" S003 must be a mapping"]),
        ("mean: [a, b]", ["1:7 S003 mean (=['a', 'b']) must be a list of numbers"]),
        ("mean: []", ["1:7 S003 mean"]),
        ("re_value: [a]", ["1:11 S003 re_value (=['a']) must be"]),
        ("amp_cast_list: [1]", ["1:16 S003 amp_cast_list (=[1]) must be text or a list of words"]),
        ("amp_cast_list: {a: 1}", ["1:16 S003 amp_cast_list"]),
        ("epoch_size: null", ["1:13 S003 epoch_size (=null) must be a whole number"]),
        ("epoch_size: 0", [" S004 epochs (=0): it should be greater than or equal to 1"]),
        ("lr: .nan\nlabel_smoothing: .inf", ["1:5 S003 lr (=nan)", "2:18 S003"]),
        ("epoch_size: 999999999999999999999", ["1:13 S003 epoch_size"]),
        ("lr: !!python/object/apply:os.system [ls]", ["1:5 Y008"]),
    ],
)
def test_what_is_no_configuration_is_refused_with_every_fault(text, faults, tmp_path):
    """Place, value and what it must be."""
    with pytest.raises(SpecError) as caught:
        read(tmp_path, text)
    lines = [
        str(fault).replace(str(tmp_path / "config.yaml"), "") for fault in caught.value.diagnostics
    ]
    assert len(lines) == len(faults)
    for line, start in zip(lines, faults, strict=True):
        assert line.lstrip(":").startswith(start), line


def test_a_key_that_is_no_flag_is_left_and_said(tmp_path):
    """A typo with what was probably meant; the rest is taken."""
    found = read(tmp_path, "lr: 0.2\nlabel_smothing: 0.1\nteam: vision")
    assert found.recipe.schedule.learning_rate == 0.2
    assert found.left[:2] == [
        "label_smothing (=0.1): no flag of MindCV's, did you mean 'label_smoothing'?",
        "team (=vision): no flag of MindCV's",
    ]


@pytest.mark.parametrize(("former", "decays"), [("true", False), ("false", True)])
def test_the_decay_filter_of_earlier_versions_is_known(former, decays, tmp_path):
    """`filter_bias_and_bn`, which older files of MindCV's say."""
    found = read(tmp_path, f"lr: 0.2\nfilter_bias_and_bn: {former}")
    assert found.recipe.optimizer.decay_norm_and_bias is decays
    assert not any("filter" in line for line in found.left)


def test_absurd_numbers_make_no_absurd_lists(tmp_path):
    """A file may be made to harm."""
    text = "scheduler: step_decay\ndecay_epochs: 1\nopt: sgd\nwarmup_epochs: 0\n"
    found = read(tmp_path, f"{text}epoch_size: 100000\ndecay_rate: 0.99")
    assert len(found.recipe.schedule.milestones) == 1_000


def test_every_key_that_the_table_names_exists():
    """So does the page that is made of it: none of a flag's keys is missing from recipes."""
    named = {key.partition("|")[0] for flag in FLAGS.values() for key in flag.keys}
    assert {key for key in named if not find_known_key(key)} == set()


def line_of(name, flag):
    """The line of a flag: what stands for it, or why nothing does."""
    keys = [f"`{key.partition('|')[0]}`" for key in flag.keys]
    covered = ", ".join([*keys, *filter(None, [flag.option])])
    notes = "; ".join(filter(None, [covered, flag.reason]))
    return f"| `--{name}` | {'covered' if covered else 'left out'} | {notes} |"


def test_the_page_has_a_line_for_each_flag():
    """Each is made from its row; RENEW_GOLDEN=1 writes them into the page."""
    page = Path(__file__).parents[3] / "docs" / "from-mindcv.md"
    before, heading, after = page.read_text(encoding="utf-8").partition("|---|---|---|\n")
    table, _, rest = after.partition("\n\n") if not after.startswith("\n") else ("", "", after[1:])
    made = "\n".join(line_of(name, flag) for name, flag in FLAGS.items())
    if os.environ.get("RENEW_GOLDEN"):
        page.write_text(f"{before}{heading}{made}\n\n{rest}", encoding="utf-8")
    else:
        assert table == made
