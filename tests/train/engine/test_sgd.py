"""SGD against MindSpore's own, bit for bit: what was trained before must come out again."""

import numpy as np
import pytest

from archspec.runtime import prepare
from archspec.train.recipe.optimizer import OptimizerRecipe

SHAPES = {"conv": (5, 3, 3, 3), "gamma": (7,), "beta": (13,), "weight": (11, 19), "one": (1,)}
"""Sizes that fill no vector register."""
STEPS = 6
RATES = [0.1 / (step + 1) for step in range(STEPS)]
CASES = {
    "momentum and decay": ({"momentum": 0.9, "weight_decay": 1e-4}, 1.0, {}),
    "loss scale": ({"momentum": 0.9, "weight_decay": 1e-4}, 1024.0, {}),
    "a scale that is no power of two": ({"momentum": 0.8, "weight_decay": 0.03}, 1000.0, {}),
    "nothing but the rate": ({"momentum": 0.0, "weight_decay": 0.0}, 1.0, {}),
    "spared": (
        {"momentum": 0.9, "weight_decay": 0.05, "decay_norm_and_bias": False},
        8.0,
        {},
    ),
    "rates by part": (
        {"momentum": 0.9, "weight_decay": 0.05, "layer_decay": 0.7},
        1.0,
        {"stem": ["conv", "gamma"], "head": ["beta", "weight", "one"]},
    ),
    "nesterov": ({"momentum": 0.9, "weight_decay": 1e-4, "nesterov": True}, 1024.0, {}),
    "nesterov, rates by part": (
        {"momentum": 0.9, "weight_decay": 0.05, "nesterov": True, "layer_decay": 0.7},
        1.0,
        {"stem": ["conv", "gamma"], "head": ["beta", "weight", "one"]},
    ),
}

OTHERS_SHOW_IT = (
    "momentum and decay",
    "loss scale",
    "a scale that is no power of two",
    "rates by part",
)
FAST = [case for case in CASES if case not in OTHERS_SHOW_IT]
SLOW = [pytest.param(case, marks=pytest.mark.slow) for case in OTHERS_SHOW_IT]


@pytest.fixture(scope="module")
def ms():
    prepare()
    import mindspore

    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    return mindspore


def parameters_of(ms, groups_of):
    """The same parameters each time, and their groups."""
    rng = np.random.default_rng(3)
    drawn = {name: rng.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
    parameters = [ms.Parameter(ms.Tensor(value), name=name) for name, value in drawn.items()]
    return parameters, groups_of(parameters)


def run(ms, optimizer, parameters):
    """The parameters after all steps."""
    rng = np.random.default_rng(4)
    for _ in range(STEPS):
        drawn = [rng.normal(size=p.shape).astype(np.float32) for p in parameters]
        optimizer(tuple(map(ms.Tensor, drawn)))
    return {p.name: p.asnumpy() for p in parameters}


@pytest.mark.parametrize("case", [*FAST, *SLOW])
def test_six_steps_have_the_bits_of_mindspores_own_optimizer(ms, case):
    """Whose state also has these names, so that a run of earlier times goes on."""
    from archspec.train.engine.parameter_groups import group_parameters
    from archspec.train.engine.sgd import SGD, Nesterov

    values, scale, parts = CASES[case]
    settings = OptimizerRecipe(**values)
    parameters, groups = parameters_of(ms, lambda all_: group_parameters(all_, settings, parts))
    rule = Nesterov if settings.nesterov else SGD
    ours = rule(parameters, groups, settings, RATES, scale)
    found = run(ms, ours, parameters)

    parameters, groups = parameters_of(ms, lambda all_: group_parameters(all_, settings, parts))
    listed = []
    for group in groups:
        own = {"params": list(group.parameters), "weight_decay": group.weight_decay}
        listed.append({**own, "lr": [rate * group.rate_factor for rate in RATES]})
    theirs = ms.nn.SGD(
        [*listed, {"order_params": parameters}],
        learning_rate=RATES,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        loss_scale=scale,
    )
    expected = run(ms, theirs, parameters)
    for name, value in expected.items():
        if parts:  # where each rate is rounded once more
            np.testing.assert_allclose(found[name], value, rtol=1e-6, atol=1e-7)
        else:
            assert found[name].tobytes() == value.tobytes(), name
    state = {p.name: p.asnumpy() for p in theirs.get_parameters()}
    own = {p.name: p.asnumpy() for p in ours.get_parameters() if "learning_rate" not in p.name}
    assert own.keys() <= state.keys()
    is_comparable = settings.momentum > 0 and not parts  # without momentum theirs keeps no velocity
    for name in own if is_comparable else ():
        assert own[name].tobytes() == state[name].tobytes(), name
