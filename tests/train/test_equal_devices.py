"""Two devices train as one with twice the batch: the same losses, step by step, and the same end.

Part by part, under the real msrun, and through the command, so with all that a run does: which
images a step has, what becomes of them, accumulation, clipping, averages, validation.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from conftest import densenet, passed
from PIL import Image
from segmentation_of_digits import NETWORK, write_digits

from archspec.runtime import prepare
from archspec.train.distributed.msrun import launch_environment, msrun_command
from archspec.train.distributed.ports import find_free_port
from archspec.train.distributed.supervise import supervise
from archspec.weights.formats.ckpt import read_checkpoint

ROOT = Path(__file__).resolve().parents[2]
# Two devices compute what one does of all images: a norm, and losses of which devices have unequal
# shares. Rank 0 writes both.
WORKER = """
import json, sys
from pathlib import Path
from archspec.train.distributed.worker_group import die_with_parent, join_group, report_faults

EVERY = 6

def main():
    rank, world = join_group("CPU")
    import mindspore as ms, numpy as np
    from mindspore import nn, ops
    from archspec.spec.load import load_spec
    from archspec.train.engine.engine import make_engine
    from archspec.train.engine.losses import RightAnswers, make_loss
    from archspec.train.engine.synchronised_norms import synchronise_norms
    from archspec.train.monitoring.meter import Meter
    from archspec.train.recipe.loss import LossRecipe
    from archspec.train.recipe.recipe import Recipe

    rng = np.random.default_rng(3)

    class Normed(nn.Cell):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(5, momentum=0.7)
        def construct(self, x, slopes):
            return ops.sum(self.norm(x) ** 2 * slopes)

    def of_norm(x, slopes, devices):
        network = Normed().set_train(True)
        synchronise_norms(network, devices)
        weights = network.trainable_params()
        value, found = ms.value_and_grad(network, 0, weights)(ms.Tensor(x), ms.Tensor(slopes))
        numbers = [value, *found[1], network.norm.moving_mean, network.norm.moving_variance]
        return [n.asnumpy() for n in numbers], found[0].asnumpy()

    add_up = ops.AllReduce()
    sum_of = lambda values: add_up(ms.Tensor(values)).asnumpy()
    # Far from 0, where sums of squares would leave nothing of the variance.
    x = (rng.normal(size=(EVERY, 5, 3, 2)) + [[[[50]]]] * EVERY).astype(np.float32)
    slopes = rng.normal(size=x.shape).astype(np.float32)
    told = {}
    whole, of_images = of_norm(x, slopes, 1)
    own, of_own = of_norm(x[rank::world], slopes[rank::world], world)
    summed = [sum_of(part) for part in own[:3]] + own[3:]
    told["norm"] = [[n.tolist() for n in whole], [n.tolist() for n in summed]]
    both = np.zeros_like(x)
    both[rank::world] = of_own
    told["of images"] = [of_images.tolist(), sum_of(both).tolist()]

    logits = rng.normal(size=(EVERY, 4, 3, 2)).astype(np.float32)
    pixels = rng.integers(-1, 4, size=(EVERY, 3, 2)).astype(np.int32)
    pixels[1] = pixels[3] = -1  # both of rank 1, which has one image of labels left
    labels = np.array([0, 3, 0, 3, 1, 3], np.int32)
    weights = [0.1, 1.0, 2.0, 9.0]
    for kind, given in (("cross_entropy", None), ("cross_entropy", weights), ("focal", weights),
                        ("bce", None), ("bce", weights)):
        recipe = Recipe(epochs=1, batch_size=1, loss=LossRecipe(kind=kind), label_smoothing=0.1)
        for targets, outputs in ((pixels, logits), (labels, logits[:, :, 0, 0].copy())):
            found = []
            for devices in (1, world):
                mine = slice(None) if devices == 1 else slice(rank, None, world)
                loss = make_loss(recipe, given, devices)
                value, slope = ms.value_and_grad(loss, 0)(
                    ms.Tensor(outputs[mine]), ms.Tensor(targets[mine]))
                every = np.zeros_like(outputs)
                every[mine] = slope.asnumpy() / devices
                if devices == 1:
                    found.append([float(value), every.tolist()])
                else:
                    value = sum_of(np.array([float(value)], np.float32))[0] / devices
                    found.append([float(value), sum_of(every).tolist()])
            told[f"{kind} {given is not None} {targets.ndim}"] = found
    right = RightAnswers(1)(ms.Tensor(logits), ms.Tensor(pixels))
    mine = slice(rank, None, world)
    own = RightAnswers(world)(ms.Tensor(logits[mine]), ms.Tensor(pixels[mine])).asnumpy()
    told["right answers"] = [float(right), float(sum_of(own.reshape(1))[0])]
    # The second of three steps is no number on rank 1.
    meter = Meter(10, 8)
    for loss in (1.0, 2.0 if rank == 0 else np.nan, 3.0 + 2 * rank):
        meter.add(ms.Tensor(loss, ms.float32), ms.Tensor(rank + 1, ms.float32), 4)
    read = meter.read()
    told["figures"] = [read["loss"], read["accuracy"], meter.own.tolist()]

    spec = load_spec("densenetbc_digits", ["growth_rate=4", "block_config=[1, 1]", "drop_rate=0.5"])
    recipe = Recipe(epochs=1, batch_size=6)
    engine = make_engine(spec, recipe, labels=labels, batches=1, world=world)
    engine.network.set_train(True)
    images = ms.Tensor(rng.normal(size=(EVERY, 1, 8, 8)).astype(np.float32))
    drawn = np.zeros(world, np.float32)
    drawn[rank] = engine.step.loss(images, ms.Tensor(labels))[0].asnumpy()
    told["losses of equal images"] = sum_of(drawn).tolist()
    if rank == 0:
        (folder / "told.json").write_text(json.dumps(told))

if __name__ == "__main__":
    die_with_parent()
    folder = Path(sys.argv[1])
    with report_faults(folder):
        main()
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    folder = tmp_path_factory.mktemp("devices")
    (folder / "worker_of_two.py").write_text(WORKER)
    prepare()
    command = msrun_command(
        devices=2,
        device_target="CPU",
        log_dir=folder / "logs",
        port=find_free_port(),
        module="worker_of_two",
        arguments=[str(folder)],
    )
    environment = launch_environment({**os.environ, "PYTHONPATH": f"{ROOT}:{folder}"})
    supervise(command, environment=environment, log_dir=folder / "logs", poll=lambda: None)
    return json.loads((folder / "told.json").read_text())


@pytest.mark.slow
def test_norms_of_two_devices_are_one_norm_of_all_images(told):
    """Value, gradients of gamma, beta and each image, moving mean and variance: of MindSpore's
    BatchNorm2d over the images of both, which lie 50 deviations from 0.
    """
    whole, summed = told["norm"]
    for expected, found in zip(whole, summed, strict=True):
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4)
    assert np.abs(whole[3]).max() > 1
    of_images, of_both = told["of images"]
    np.testing.assert_allclose(of_both, of_images, rtol=2e-3, atol=2e-4)
    assert np.abs(of_images).max() > 0.1


@pytest.mark.slow
def test_a_loss_of_two_devices_is_the_mean_over_all_that_counts(told):
    """Of pixels that have a label, of labels that weigh: value and slopes are those of one device,
    though the shares are unequal; and so are right answers of pixels.
    """
    cases = [case for case in told if case.endswith((" 1", " 3"))]
    assert len(cases) == 10
    for case in cases:
        (value, slopes), (mean, of_both) = told[case]
        assert mean == pytest.approx(value, rel=1e-5), case
        np.testing.assert_allclose(of_both, slopes, rtol=1e-4, atol=1e-6, err_msg=case)
    assert told["right answers"][1] == pytest.approx(told["right answers"][0], rel=1e-6)


@pytest.mark.slow
def test_figures_leave_out_a_step_that_is_no_number_on_one_device(told):
    """On all devices, as its update is; each keeps its own sums of the others."""
    loss, accuracy, own = told["figures"]
    assert loss == pytest.approx((1 + 1 + 3 + 5) / 4)
    assert accuracy == pytest.approx((1 + 1 + 2 + 2) / 16)
    assert own == [4 * (1 + 3), 2, 8]


@pytest.mark.slow
def test_devices_drop_other_values(told):
    """Of the same images, with the same weights."""
    first, second = told["losses of equal images"]
    assert first != second
    assert first == pytest.approx(second, rel=1)


# ---- whole runs

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
