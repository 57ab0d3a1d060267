"""Weights from elsewhere where they are used:
`train --init-from`, `--pretrained`, `validate --ckpt --mean --std`.
"""

import json

import numpy as np
import pytest
from conftest import densenet, passed, refused
from PIL import Image
from weights.networks import parameters_of, weights_of
from weights.torch_files import Storages, ordered, plain, save

from archspec.errors import ModelFileError
from archspec.graph.build import build_graph
from archspec.graph.parameters import list_parameters
from archspec.spec.load import load_spec
from archspec.train.inference.open_trained import open_trained
from archspec.train.pretrained import read_initial_weights
from archspec.weights.formats.weight_files import read_tensors, write_tensors
from archspec.weights.pairing.naming import translate_names


def torch_file(path, tensors):
    """A .pth in torchvision's names."""
    theirs = translate_names("torchvision", tensors)
    save(path, {theirs[name]: array for name, array in tensors.items()})


@pytest.mark.slow
def test_training_begins_with_the_weights_of_a_file_and_a_fresh_head_where_classes_differ(
    digits_run, tmp_path
):
    """No step is taken at a rate of nearly 0: the run's weights are the file's,
    the classifier's are its own.
    """
    best = read_tensors(digits_run / "checkpoints" / "best.ckpt")
    torch_file(tmp_path / "theirs.pth", best)
    still = (
        "--epochs",
        1,
        "--lr",
        1e-12,
        "--set",
        "recipe.optimizer.weight_decay=0.0",
        "--out",
        "run",
    )
    out = passed(
        densenet("train", "--init-from", "theirs.pth", *still, "--num-classes", 12, cwd=tmp_path)
    )
    assert "begins with theirs.pth (torch .pth file, torchvision's and timm's)" in out
    assert "a fresh classifier of 12 classes (the file has 10)" in out
    held = read_tensors(tmp_path / "run" / "checkpoints" / "best.ckpt")
    learnt = [name for name in best if ".moving_" not in name and not name.startswith("classifier")]
    assert learnt
    assert all(np.abs(held[name] - best[name]).max() < 1e-6 for name in learnt)
    assert held["classifier.weight"].shape[0] == 12


def test_a_file_that_does_not_fit_is_refused_before_there_is_a_run(tmp_path):
    """Another network's weights: every difference is listed, nothing is left behind."""
    torch_file(tmp_path / "theirs.pth", weights_of("densenetbc_digits", "growth_rate=4"))
    refused(
        densenet("train", "--init-from", "theirs.pth", "--out", "run", cwd=tmp_path),
        "R003",
        "theirs.pth",
    )
    assert not (tmp_path / "run").exists()


def test_two_sources_of_weights_are_one_too_many(tmp_path):
    """A usage fault."""
    done = densenet("validate", "densenet121", "--pretrained", "--ckpt", "x.ckpt", cwd=tmp_path)
    assert done.returncode == 2
    assert "give one of them" in done.stderr


def averaged_grey_file(path):
    """Weights of three channels and their averages, a classifier called `head.fc`."""
    plain_ones, averages = (
        translate_to_torch(weights_of("densenetbc_digits", "input.channels=3", seed=seed))
        for seed in (0, 1)
    )
    made = Storages()
    bodies = [ordered(made.tensors(each)) for each in (plain_ones, averages)]
    made.save(path, plain(dict(zip(("state_dict", "state_dict_ema"), bodies, strict=True))))


def translate_to_torch(tensors):
    names = translate_names("torchvision", tensors)
    return {names[name].replace("classifier", "head.fc"): array for name, array in tensors.items()}


NOTES = (
    "the file's plain weights were taken; its EMA weights, 'state_dict_ema', were not",
    "'head.fc' in the file was taken for the classifier",
    "its first filters, features.conv0.weight, were summed over their 3 channels for grey images",
)


def test_training_says_which_weights_it_takes_and_how_they_were_made_to_fit(tmp_path):
    """Also where its spec is given less: the file's network is the spec's in grey."""
    averaged_grey_file(tmp_path / "theirs.pth")
    spec = load_spec("densenetbc_digits")
    begin = read_initial_weights(tmp_path / "theirs.pth", spec)
    assert begin.note.endswith("and all its tensors; " + "; ".join(NOTES))
    averages = read_initial_weights(tmp_path / "theirs.pth", spec, ema=True)
    assert "; the file's EMA weights, 'state_dict_ema', were taken; " in averages.note
    assert averages.tensors.keys() == begin.tensors.keys() == parameters_of(spec.name).keys()
    assert not np.array_equal(averages.tensors["classifier.bias"], begin.tensors["classifier.bias"])


def test_what_is_judged_is_what_was_asked_for_and_is_said(tmp_path):
    """The weights of a spec's checkpoint."""
    averaged_grey_file(tmp_path / "theirs.pth")
    for ema in (False, True):
        found = open_trained("densenetbc_digits", ckpt=tmp_path / "theirs.pth", ema=ema)
        weights = weights_of("densenetbc_digits", "input.channels=3", seed=int(ema))
        assert np.array_equal(found.tensors["classifier.bias"], weights["classifier.bias"])
        assert found.notes[1:] == NOTES[1:]
        assert (found.notes[0] == NOTES[0]) != ema


def test_a_run_judges_another_checkpoint_than_its_own_too(digits_run, tmp_path):
    """Its own needs nothing said, and has no averages."""
    grey = weights_of("densenetbc_digits", "input.channels=3")
    torch_file(tmp_path / "theirs.pth", grey)
    found = open_trained(str(digits_run), ckpt=tmp_path / "theirs.pth")
    assert found.notes == NOTES[2:]
    assert found.tensors["features.conv0.weight"].shape[1] == 1
    assert open_trained(str(digits_run)).notes == ()
    with pytest.raises(ModelFileError, match="R003 has no EMA weights"):
        open_trained(str(digits_run), ema=True)


def test_predict_and_convert_take_averages_and_say_so(no_mindspore, tmp_path):
    """What has none is refused, and nothing is written."""
    averaged_grey_file(tmp_path / "theirs.pth")
    Image.new("L", (8, 8), 100).save(tmp_path / "grey.png")
    took = "note: the file's EMA weights, 'state_dict_ema', were taken\n"
    given = ("grey.png", "--ckpt", "theirs.pth", "--ema")
    out = passed(densenet("predict", "densenetbc_digits", *given, cwd=tmp_path))
    assert out.startswith(took)
    assert "grey.png: class " in out
    given = ("--spec", "densenetbc_digits", "--ema", "-o")
    files = ("theirs.pth", *given, "x.safetensors")
    assert took in passed(densenet("convert", *files, cwd=tmp_path, env=no_mindspore))
    refused(
        densenet("convert", "x.safetensors", *given, "y.ckpt", cwd=tmp_path, env=no_mindspore),
        "x.safetensors R003 has no EMA weights that could be taken "
        "(without --ema its plain weights are taken)",
    )
    assert not (tmp_path / "y.ckpt").exists()


@pytest.mark.slow
def test_notes_leave_the_json_of_validate_alone(tmp_path):
    """They stand on stderr; averages give another loss."""
    averaged_grey_file(tmp_path / "theirs.pth")
    given = ("validate", "densenetbc_digits", "--ckpt", "theirs.pth", "--json")
    done = [densenet(*given, *more, cwd=tmp_path) for more in ((), ("--ema",))]
    assert done[0].stderr.splitlines() == [f"note: {note}" for note in NOTES]
    assert "EMA weights, 'state_dict_ema', were taken" in done[1].stderr
    assert json.loads(done[0].stdout)["loss"] != json.loads(done[1].stdout)["loss"]


def test_a_dry_run_downloads_nothing(no_mindspore, tmp_path):
    """It says what it would get, and plans on; a file that is there is looked at."""
    for index in range(8):
        file = tmp_path / "photos" / ("train", "val")[index // 4] / str(index % 2) / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (32, 32), index * 30).save(file)
    nowhere = {"DENSENET_WEIGHTS_URL": "https://weights.invalid", "DENSENET_CACHE": "cache"}
    given = ("--data-dir", "photos", "--image-size", 32, "--pretrained", "--batch-size", 2)
    grey = ("--set", "input.channels=1", "--dry-run", "--devices", 2, "--out", "run")
    done = densenet(
        "train", "densenet121", *given, *grey, cwd=tmp_path, env={**no_mindspore, **nowhere}
    )
    assert done.returncode == 0
    assert "msrun" in done.stdout
    assert done.stderr.startswith(
        "would download densenet121-120_5004_Ascend.ckpt (about 32 MB) into "
        f"{(tmp_path / 'cache').resolve()}\n"
    )
    assert not (tmp_path / "cache").exists()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "densenet121-120_5004_Ascend.ckpt").write_bytes(b"no checkpoint")
    refused(densenet("train", "densenet121", *given, *grey, cwd=tmp_path, env=nowhere), "R002")


@pytest.mark.slow
def test_mean_and_std_are_those_of_the_command_line(digits_run, tmp_path):
    """The recipe's own change nothing; others change the loss; no number is a fault."""
    figures = [
        json.loads(passed(densenet("validate", digits_run, "--json", *given, cwd=tmp_path)))["loss"]
        for given in ((), ("--mean", "78", "--std", "96"), ("--mean", "0", "--std", "255"))
    ]
    assert figures[0] == figures[1] != figures[2]
    refused(
        densenet("validate", digits_run, "--mean", "grey", cwd=tmp_path),
        "--mean grey S003 data.mean[0] (=grey)",
    )


@pytest.mark.slow
def test_published_weights_predict_and_are_fine_tuned(tmp_path, monkeypatch):
    """A checkpoint in MindCV's names, under the published name,
    stands for the real one, which is not here.
    """
    monkeypatch.setenv("DENSENET_CACHE", str(tmp_path / "cache"))
    names = list_parameters(build_graph(load_spec("densenet121")))
    rng = np.random.default_rng(0)
    tensors = {
        name: rng.uniform(0.01, 0.02, p.shape).astype(np.float32) for name, p in names.items()
    }
    theirs = translate_names("mindcv", tensors)
    write_tensors(
        tmp_path / "theirs.ckpt", {theirs[name]: array for name, array in tensors.items()}
    )
    passed(densenet("weights", "get", "densenet121", "--from-file", "theirs.ckpt", cwd=tmp_path))
    for index in range(8):
        file = tmp_path / "photos" / ("train", "val")[index // 4] / str(index % 2) / f"{index}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), np.uint8)).save(file)
    out = passed(
        densenet(
            "predict", "densenet121", file, "--pretrained", "--set", "input.height=64", cwd=tmp_path
        )
    )
    assert out.count("class ") == 5
    given = (
        "--data-dir",
        "photos",
        "--image-size",
        32,
        "--epochs",
        1,
        "--batch-size",
        2,
        "--out",
        "run",
    )
    out = passed(densenet("train", "densenet121", "--pretrained", *given, cwd=tmp_path))
    assert "MindCV's) and a fresh classifier of 2 classes (the file has 1000)" in out
