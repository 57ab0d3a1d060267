"""Batch norms of several devices; what they compute is held by test_equal_devices.py."""

import pytest

from archspec.runtime import prepare


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
