"""Flags that set a key, and what is said to flags of other tools."""

import pytest
from conftest import densenet, passed, refused

from archspec.spec.override import Override
from archspec.train.recipe.mindcv import FLAGS
from densenet_cli.flags import FOREIGN_FLAGS, RECIPE_FLAGS, SPEC_FLAGS, answer_flag, explain_flag
from densenet_cli.train import collect_overrides

KNOWN = {
    "--recipe", "--data-dir", "--image-size", "--num-classes", "--lr", "--batch-size", "--epochs",
    "--opt", "--workers", "--device-target", "--devices", "--out", "--init-from", "--pretrained",
    "--resume", "--ema", "--seed", "--log-every", "--save-every", "--set", "--amp",
    "--nodes", "--master", "--hostfile",
}  # fmt: skip


@pytest.mark.parametrize(
    ("flag", "answer"),
    [
        ("--num_classes", "--num-classes"),
        ("--Data_Dir", "--data-dir"),
        ("--imgsz", "--image-size"),
        ("--lr0", "--lr"),
        ("--batch", "--batch-size"),
        ("--epoch_size", "--epochs"),
        ("--label-smoothing", "--set recipe.label_smoothing=VALUE"),
        ("--warmup_epochs", "--set recipe.schedule.warmup_epochs=VALUE"),
        ("--scheduler", "--set recipe.schedule.kind=VALUE"),
        ("--wd", "--set recipe.optimizer.weight_decay=VALUE"),
        ("--growth-rate", "--set growth_rate=VALUE"),
        ("--drop_rate", "--set drop_rate=VALUE"),
        ("--jason", ""),
        ("-1", ""),
    ],
)
def test_a_foreign_flag_has_one_answer(flag, answer):
    """Hyphens for underscores, others' names, keys of recipe and spec; to what is none, nothing."""
    assert answer_flag(flag, KNOWN) == answer


@pytest.mark.parametrize("flag", ["--model", "-c", "--arch"])
def test_the_network_is_said_to_be_the_first_argument(flag):
    """Whichever flag the other tool had for it."""
    assert answer_flag(flag, KNOWN).startswith("SPEC, the first argument")


def test_no_answer_names_a_flag_that_the_command_has_not():
    """`predict` has neither recipes nor batches."""
    assert answer_flag("--data", {"--ckpt"}) == ""
    assert answer_flag("--label-smoothing", {"--ckpt"}) == ""
    for flag in [*FOREIGN_FLAGS, *(f"--{name}" for name in FLAGS)]:
        (option, *_) = answer_flag(flag, KNOWN).replace(",", "").split() or [""]
        assert not option.startswith("--") or option in KNOWN, flag


@pytest.mark.parametrize(
    ("flag", "sentence"),
    [
        ("--dataset_sink_mode", "Each batch is fed by itself, docs/ascend.md says why"),
        ("--Mode", "Training always runs in graph mode"),
        ("--ckpt-save-interval", "Here it is --save-every"),
        ("--label-smoothing", ""),
        ("--jason", ""),
    ],
)
def test_a_flag_of_mindcvs_without_a_counterpart_is_explained(flag, sentence):
    """In the words of the table; what has a key is answered with it, and others are typos."""
    assert explain_flag(flag, KNOWN) == sentence
    assert explain_flag(flag, {"--ckpt"}) == ""
    assert "--save-every" not in explain_flag(flag, KNOWN - {"--save-every"})


def test_each_flag_of_mindcvs_has_an_answer(tmp_path, no_mindspore):
    """Of train.py's own: another flag, a key, or why there is neither."""
    for name in FLAGS:
        flag = f"--{name}"
        assert answer_flag(flag, KNOWN) or explain_flag(flag, KNOWN), flag
    done = densenet("train", "--dataset_sink_mode=True", cwd=tmp_path, env=no_mindspore)
    assert done.returncode == 2
    assert "No such option: --dataset_sink_mode. Each batch is fed by itself" in done.stderr


@pytest.mark.parametrize(
    ("command", "flag", "answer"),
    [("train", "--imgsz", "--image-size"), ("validate", "--data_dir", "--data-dir")],
)
def test_a_foreign_flag_is_a_usage_error(command, flag, answer, tmp_path, no_mindspore):
    """Exit 2, in one sentence."""
    done = densenet(command, "x", f"{flag}=3", cwd=tmp_path, env=no_mindspore)
    assert done.returncode == 2
    assert f"No such option: {flag}. Here it is {answer}" in done.stderr


def overrides(**given):
    """What flags come to, but for the place that quotes them."""
    nothing = dict.fromkeys((*SPEC_FLAGS, *RECIPE_FLAGS, "overrides"))
    for_spec, for_recipe = collect_overrides({**nothing, **given})
    assert for_spec == []
    return [(override.setting, str(override.place)) for override in for_recipe]


@pytest.mark.parametrize(
    ("given", "setting", "place"),
    [
        ({"opt": "adamw"}, ("optimizer.kind", "adamw"), "--opt adamw"),
        ({"amp": "O2"}, ("amp", "O2"), "--amp O2"),
        ({"workers": 3}, ("data.workers", 3), "--workers 3"),
        ({"ema": 0.99}, ("ema.decay", 0.99), "--ema 0.99"),
        ({"log_every": 7}, ("log_every", 7), "--log-every 7"),
        ({"save_every": "10m"}, ("save_every", "10m"), "--save-every 10m"),
        ({"save_every": "500"}, ("save_every", 500), "--save-every 500"),
        (
            {"freeze": "stem, blocks 1-2"},
            ("freeze", "stem, blocks 1-2"),
            "--freeze stem, blocks 1-2",
        ),
    ],
)
def test_a_flag_sets_its_key_and_is_quoted(given, setting, place):
    """Numbers as numbers, words as words."""
    assert overrides(**given) == [(setting, place)]
    assert isinstance(Override(*overrides(**given)[0]), Override)


@pytest.mark.parametrize(
    ("until", "parts"),
    [
        ("stem", "stem"),
        ("block 1", "stem, block 1"),
        ("Block 2", "stem, block 1, transition 1, block 2"),
        ("2", "stem, block 1, transition 1, block 2"),
        ("transition 1", "stem, block 1, transition 1"),
    ],
)
def test_freezing_until_a_part_freezes_it_too(until, parts):
    """As MMDetection's frozen_stages and Detectron2's FREEZE_AT count."""
    assert overrides(freeze_until=until)[0][0] == ("freeze", parts)


NO_PARTS = ["block 0", "block -1", "blocks 1-2"]


@pytest.mark.parametrize(
    "until",
    ["", "head", "block 101", *(pytest.param(each, marks=pytest.mark.slow) for each in NO_PARTS)],
)
def test_freezing_until_what_is_no_part_is_a_usage_error(until, tmp_path, no_mindspore):
    """It says which words it takes."""
    done = densenet("train", "--freeze-until", until, cwd=tmp_path, env=no_mindspore)
    assert done.returncode == 2
    assert "say stem, block 2 or transition 2" in done.stderr


def test_short_flags_and_those_of_keys_reach_the_recipe(tmp_path, no_mindspore):
    """`-b` and `-o`, `--amp`, `--workers`, `--log-every`."""
    flags = ("-b", 16, "--amp", "O2", "--workers", 1, "--log-every", 3, "-o", "there")
    text = passed(densenet("train", "--dry-run", *flags, cwd=tmp_path, env=no_mindspore))
    assert "batch 16\n" in text
    assert f"run directory {tmp_path}/there\n" in text
    wrong = ("--amp", "O9", "--workers", 0, "--log-every", 0)
    found = densenet("train", "--dry-run", *wrong, cwd=tmp_path, env=no_mindspore)
    refused(found, "--amp O9 S005 amp (=O9)", "--workers 0 S004", "--log-every 0 S004")


@pytest.mark.parametrize(
    ("command", "given", "flag"),
    [
        ("doctor", ("--out", ""), "--out"),
        ("doctor", ("--data-dir=",), "--data-dir"),
        ("doctor", ("-o", "", "--json"), "-o"),
        ("train", ("--epochs", 1, "--resume", ""), "--resume"),
        ("validate", ("x", "--ckpt", ""), "--ckpt"),
    ],
)
def test_an_empty_word_is_no_path(command, given, flag, tmp_path, no_mindspore):
    """As a shell makes it of "$UNSET": it would be the working directory."""
    done = densenet(command, *given, cwd=tmp_path, env=no_mindspore)
    assert done.returncode == 2
    rule = f"Invalid value for {flag}: an empty word names no file or folder"
    assert rule in " ".join(done.stderr.replace("│", "").split())


@pytest.mark.parametrize(
    "words",
    [
        ("plot", ""),
        ("new", ""),
        ("data", "check", ""),
        ("recipe", "show", ""),
        ("train", "--dry-run", ""),
        ("train", "--", ""),
        ("predict", "run", "x.png", "--top-k", 3, ""),
    ],
    ids=lambda words: " ".join(map(str, words)),
)
def test_an_empty_word_is_no_argument(words, tmp_path, no_mindspore):
    """It would be the working directory, or no name of anything."""
    done = densenet(*words, cwd=tmp_path, env=no_mindspore)
    assert done.returncode == 2
    assert "an empty word names nothing" in done.stderr


@pytest.mark.parametrize("rest", [(), ("densenetbc_digits",), ("--dry-run",)], ids=str)
def test_ema_may_be_said_without_a_decay(rest, tmp_path, no_mindspore):
    """Before another flag, the spec, or nothing at all."""
    flags = ("--dry-run", "--ema", *rest)
    passed(densenet("train", *flags, cwd=tmp_path, env=no_mindspore))


@pytest.mark.parametrize(
    "flags",
    [
        ("--opt", "adamw", "--ema", "0.99", "--freeze", "stem", "--save-every", "10m"),
        ("--freeze-until", "block 1", "--save-every", "500"),
    ],
    ids=" ".join,
)
def test_flags_of_keys_reach_the_recipe(flags, tmp_path, no_mindspore):
    """Each is taken by the recipe."""
    passed(densenet("train", "--dry-run", *flags, cwd=tmp_path, env=no_mindspore))
