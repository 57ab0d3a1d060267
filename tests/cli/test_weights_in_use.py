"""Weights from elsewhere where they are used:
`train --init-from`, `--pretrained`, `validate --ckpt --mean --std`.
"""

import json

import numpy as np
import pytest
from conftest import densenet, passed, refused
from PIL import Image
from weights.networks import weights_of
from weights.torch_files import save

from archspec.graph.build import build_graph
from archspec.graph.parameters import list_parameters
from archspec.spec.load import load_spec
from archspec.weights.formats.weight_files import read_tensors, write_tensors
from archspec.weights.pairing.naming import translate_names


def torch_file(path, tensors):
    """A .pth in torchvision's names."""
    theirs = translate_names("torchvision", tensors)
    save(path, {theirs[name]: array for name, array in tensors.items()})


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
