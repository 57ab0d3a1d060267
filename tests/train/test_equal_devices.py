"""Two devices train as one with twice the batch: the same losses, step by step, and the same end.

Through the command, so with all that a run does: which images a step has, what becomes of them,
accumulation, clipping, averages, validation.
"""

import json

import numpy as np
import pytest
from conftest import densenet, passed
from PIL import Image
from segmentation_of_digits import NETWORK, write_digits

from archspec.runtime import prepare
from archspec.weights.formats.ckpt import read_checkpoint

# A rectifier turns what float32 rounds into another slope where a value is 0 but for rounding, and
# digits have large even backgrounds: within some dozens of steps losses would differ by 1e-3.
SMOOTH = ("activation=silu", "block_config=[2, 2]", "growth_rate=4")
GROUPS = "norm={kind: group, groups: 4}"
BATCH = 64
TOLERANCE = 3e-6
CASES = {
    "augmented": (GROUPS,),
    "an update of batches": (
        GROUPS,
        "recipe.accumulate=2",
        "recipe.clip={norm: 0.5}",
        "recipe.ema={decay: 0.9, warmup: false}",
    ),
    "weighted": (GROUPS, "recipe.loss.class_weights=[9, 1, 1, 5, 1, 1, 0.1, 1, 1, 1]"),
    "norms of all": ("recipe.sync_batch_norm=true",),
    "norms of all, with all that may go with them": (
        "recipe.sync_batch_norm=true",
        "recipe.accumulate=2",
        "recipe.recompute=layer",
        "recipe.on_nan=skip",
        "recipe.ema={decay: 0.9, warmup: false}",
        "recipe.freeze=stem, block 1",
    ),
}


def lines_of(run, kind):
    """The events of a kind."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == kind]


def train(folder, devices, *words, spec="densenetbc_digits"):
    """The run directory of two epochs."""
    given = ("--devices", devices, "-b", BATCH // devices, "--set", "recipe.log_every=1")
    out = f"on_{devices}"
    passed(
        densenet(
            *("train", spec, "--epochs", 2, "--no-certify", "--out", out, *given, *words),
            cwd=folder,
        )
    )
    return folder / out


def assert_equal(one, two):
    """Losses and right answers of each step, figures of each epoch, and all that is saved."""
    of_one, of_two = lines_of(one, "step"), lines_of(two, "step")
    assert len(of_one) == len(of_two) > 4
    for before, after in zip(of_one, of_two, strict=True):
        assert (after["epoch"], after["step"]) == (before["epoch"], before["step"])
        assert after["learning_rate"] == before["learning_rate"]
        for key in ("loss", "accuracy"):
            assert after[key] == pytest.approx(before[key], rel=TOLERANCE), before
    for before, after in zip(lines_of(one, "epoch"), lines_of(two, "epoch"), strict=True):
        figures = [key for key in before if key.startswith(("val_", "ema_", "loss", "acc"))]
        assert "val_loss" in figures
        for key in figures:
            assert after[key] == pytest.approx(before[key], rel=1e-4), key
    prepare()
    expected, found = (read_checkpoint(run / "checkpoints" / "last.ckpt") for run in (one, two))
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        if not name.startswith("archspec."):
            value = tensor.asnumpy().astype(np.float64)
            error = np.abs(found[name].asnumpy() - value).max()
            assert error <= 1e-3 * max(np.abs(value).max(), 1e-3), name


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_devices_train_as_one_with_twice_the_batch(case, tmp_path):
    """To the rounding of float32, weights, averages and statistics included."""
    words = [word for setting in (*SMOOTH, *CASES[case]) for word in ("--set", setting)]
    assert_equal(*(train(tmp_path, devices, *words) for devices in (1, 2)))


@pytest.mark.slow
def test_two_devices_learn_from_pixels_as_one_does(tmp_path):
    """The mean is over the pixels that have a label: of some images hardly any has one, so that
    devices have unequal shares of them.
    """
    (tmp_path / "network.yaml").write_text(NETWORK)
    write_digits(tmp_path / "data", train=320, val=40)
    for number in range(0, 320, 3):
        file = tmp_path / "data" / "train" / "masks" / f"{number}.png"
        mask = np.array(Image.open(file))
        mask[1:] = 255
        Image.fromarray(mask).save(file)
    smooth = ("--set", "activation=silu", "--set", GROUPS)
    words = ("--data-dir", "data", "--recipe", "digits", *smooth)
    assert_equal(*(train(tmp_path, devices, *words, spec="network.yaml") for devices in (1, 2)))
