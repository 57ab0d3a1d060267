"""Kinds of operators that stay in full precision beside half precision."""

import numpy as np
import pytest

from archspec.errors import SpecError
from archspec.graph.build import build_graph
from archspec.runtime import prepare
from archspec.spec.load import load_spec
from archspec.train.engine.half_precision import describe_kept
from archspec.train.recipe.kept_kinds import KINDS
from archspec.train.recipe.recipe import load_recipe

TINY = ["blocks=[{layers: 1}]", "transitions=[]", "growth_rate=4", "stem.channels=4"]
# What float16 takes for 0 is not lost in float32, nor what another operator makes large again.
TOO_SMALL = {
    "dense": ("O2", {"classifier.weight": 1e-8, "norm5.gamma": 3e4}, 1),
    "conv": ("O2", {"conv0.weight": 1e-8}, 1e4),
    "batch_norm": ("O3", {"norm5.gamma": 1e-8, "norm5.moving_variance": 1e-10}, 300),
}


@pytest.fixture(scope="module")
def ms():
    prepare()
    import mindspore

    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    return mindspore


def logits_of(ms, settings, factors, scale):
    from archspec.train.engine.half_precision import lower_precision
    from archspec.writers.mindspore.create_model import create_model

    spec = load_spec("densenetbc_digits", TINY)
    ms.set_seed(0)
    network = create_model(spec)
    for parameter in network.get_parameters():
        factor = factors.get(parameter.name.removeprefix("features."), 1)
        parameter.set_data(ms.Tensor((parameter.asnumpy() * factor).astype(np.float32)))
    names = [parameter.name for parameter in network.get_parameters()]
    network = lower_precision(network, build_graph(spec), load_recipe("digits", settings))
    held = [(parameter.name, parameter.dtype) for parameter in network.get_parameters()]
    assert held == [(name, ms.float32) for name in names]
    images = np.random.default_rng(0).normal(size=(2, 1, 8, 8)) * scale
    return network.set_train(False)(ms.Tensor(images.astype(np.float32))).asnumpy()


@pytest.mark.parametrize(
    "kind",
    [
        "dense",
        pytest.param("conv", marks=pytest.mark.slow),
        pytest.param("batch_norm", marks=pytest.mark.slow),
    ],
)
def test_a_kept_kind_computes_what_half_precision_cannot(ms, kind):
    """By weights that float16 has no number for; names and types of parameters stay."""
    level, factors, scale = TOO_SMALL[kind]
    full = logits_of(ms, [], factors, scale)
    assert np.abs(full).max() > 1e-5
    assert not logits_of(ms, [("amp", level)], factors, scale).any()
    kept = [("amp", level), ("amp_keep_float32", [kind])]
    np.testing.assert_allclose(logits_of(ms, kept, factors, scale), full, rtol=0.1, atol=1e-6)


@pytest.mark.parametrize("said", ["dense, group_norm", ["dense", "group_norm", "dense"]])
def test_kinds_are_a_list_or_a_line(said):
    """Each once."""
    recipe = load_recipe("digits", [("amp", "O2"), ("amp_keep_float32", said)])
    assert recipe.amp_keep_float32 == ("dense", "group_norm")


@pytest.mark.parametrize(
    "said", ["relu", "dens", ["dense", "add"], [3], {"dense": 1}, "dense,", None]
)
def test_what_is_no_kind_of_cell_is_refused(said):
    """A function's call has no precision of its own; the kinds that have are named."""
    with pytest.raises(SpecError) as caught:
        load_recipe("digits", [("amp", "O2"), ("amp_keep_float32", said)])
    [fault] = caught.value.diagnostics
    assert fault.code in ("S003", "S005")
    assert fault.where == "--set amp_keep_float32" or "amp_keep_float32" in fault.message


def test_kinds_that_a_network_has_not_are_told():
    """A recipe may be meant for several networks."""
    graph = build_graph(load_spec("densenetbc_digits", TINY))
    for kinds, line in (
        (["dense"], ""),
        (
            ["dense", "group_norm", "prelu"],
            "amp_keep_float32: the network has no group_norm, prelu",
        ),
    ):
        recipe = load_recipe("digits", [("amp", "O2"), ("amp_keep_float32", kinds)])
        assert describe_kept(recipe, graph) == line
    assert {"conv", "dense", "batch_norm", "max_pool"} < {*KINDS}
    assert not {"relu", "add", "concat", "input"} & {*KINDS}
