"""Batch norms of two devices, beside those of one that has all images."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from archspec.runtime import prepare
from archspec.train.distributed.msrun import find_free_port, launch_environment, msrun_command
from archspec.train.distributed.supervise import supervise

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
    from archspec.train.engine.losses import RightAnswers, make_loss
    from archspec.train.engine.synchronised_norms import synchronise_norms
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


def test_norms_of_one_device_and_frozen_ones_stay_as_they_are():
    """Another operator is called by what learns on several devices alone; no cell, no parameter is
    another.
    """
    prepare()
    from mindspore import nn

    from archspec.train.engine.synchronised_norms import synchronise_norms

    network = nn.SequentialCell(nn.BatchNorm2d(2), nn.BatchNorm2d(2), nn.GroupNorm(1, 2))
    network[1].use_batch_statistics = False
    names = [parameter.name for parameter in network.get_parameters()]
    before = [network[0].bn_train, network[1].bn_train]
    synchronise_norms(network, 1)
    assert [network[0].bn_train, network[1].bn_train] == before
    synchronise_norms(network, 2)
    assert network[0].bn_train is not before[0]
    assert network[1].bn_train is before[1]
    assert [parameter.name for parameter in network.get_parameters()] == names


def test_on_ascend_the_operator_is_mindspores_own():
    """As nn.SyncBatchNorm makes it: the momentum is the share of the new."""
    prepare()
    from mindspore import nn

    from archspec.train.engine.synchronised_norms import make_ascend_operator

    norm = make_ascend_operator(nn.BatchNorm2d(2, eps=1e-3, momentum=0.9), 8)
    assert norm.name == "SyncBatchNorm"
    assert norm.attrs["epsilon"] == 1e-3
    assert norm.attrs["momentum"] == pytest.approx(0.1)
    assert (norm.attrs["group"], norm.attrs["device_num"]) == ("hccl_world_group", 8)
