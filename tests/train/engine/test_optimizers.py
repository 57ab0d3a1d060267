"""Each optimizer's four steps against its published formula, written out in NumPy."""

import numpy as np
import pytest

from archspec.runtime import prepare
from archspec.train.recipe.optimizer import OptimizerRecipe
from archspec.train.recipe.recipe import Recipe

SHAPES = {"a.weight": (3, 4), "a.bias": (3,), "b.weight": (2, 3, 1, 1), "b.gamma": (2,)}
RATES = [0.1, 0.05, 0.2, 0.01]
PARTS = {"stem": ["a.weight", "a.bias"], "head": ["b.weight", "b.gamma"]}


def draw(seed):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}


class ByHand:
    """p, g, rate, decay -> p, in 64 bits, what it remembers by parameter and name."""

    def __init__(self, kind, settings):
        self.kind, self.settings, self.memory, self.t = kind, settings, {}, 0

    def recall(self, name, what):
        return self.memory.get((name, what), 0.0)

    def mean(self, name, what, share, value):
        self.memory[name, what] = share * self.recall(name, what) + (1 - share) * value
        return self.memory[name, what]

    def step(self, name, p, g, rate, decay):
        return getattr(self, self.kind)(name, p, g, rate, decay)

    def sgd(self, name, p, g, rate, decay):
        """Torch's SGD: v <- m v + g; p <- p - rate v."""
        g = g + decay * p
        v = self.settings.get("momentum", 0.9) * self.recall(name, "v") + g
        self.memory[name, "v"] = v
        return p - rate * v

    momentum = sgd

    def nesterov(self, name, p, g, rate, decay):
        """p <- p - rate (g + m v)."""
        g = g + decay * p
        v = 0.9 * self.recall(name, "v") + g
        self.memory[name, "v"] = v
        return p - rate * (g + 0.9 * v)

    def adam(self, name, p, g, rate, decay):
        """Section 2 of arXiv 1412.6980: the corrections in the rate, eps beside sqrt(v)."""
        b1, b2, eps = *self.settings.get("betas", (0.9, 0.999)), self.settings.get("eps", 1e-8)
        g = g + decay * p
        m, v = self.mean(name, "m", b1, g), self.mean(name, "v", b2, g**2)
        own = rate * np.sqrt(1 - b2**self.t) / (1 - b1**self.t)
        return p - own * m / (np.sqrt(v) + eps)

    def adamw(self, name, p, g, rate, decay):
        """Torch's AdamW: p <- (1 - rate decay) p - rate m' / (sqrt(v') + eps)."""
        b1, b2, eps = *self.settings.get("betas", (0.9, 0.999)), self.settings.get("eps", 1e-8)
        m, v = self.mean(name, "m", b1, g), self.mean(name, "v", b2, g**2)
        m, v = m / (1 - b1**self.t), v / (1 - b2**self.t)
        return p * (1 - rate * decay) - rate * m / (np.sqrt(v) + eps)

    def lion(self, name, p, g, rate, decay):
        """Algorithm 2 of arXiv 2302.06675."""
        b1, b2 = self.settings.get("betas", (0.9, 0.99))
        c = b1 * self.recall(name, "m") + (1 - b1) * g
        self.mean(name, "m", b2, g)
        return p - rate * (np.sign(c) + decay * p)

    def lamb(self, name, p, g, rate, decay):
        """Algorithm 2 of arXiv 1904.00962, phi the identity."""
        b1, b2, eps = *self.settings.get("betas", (0.9, 0.999)), self.settings.get("eps", 1e-6)
        m, v = self.mean(name, "m", b1, g), self.mean(name, "v", b2, g**2)
        r = m / (1 - b1**self.t) / (np.sqrt(v / (1 - b2**self.t)) + eps) + decay * p
        trust = np.linalg.norm(p) / np.linalg.norm(r) if p.any() and r.any() else 1.0
        return p - rate * trust * r

    def rmsprop(self, name, p, g, rate, decay):
        """Torch's RMSprop: b <- m b + g / (sqrt(v) + eps); p <- p - rate b."""
        g = g + decay * p
        v = self.mean(name, "v", self.settings.get("alpha", 0.99), g**2)
        b = self.settings.get("momentum", 0.0) * self.recall(name, "b")
        b = b + g / (np.sqrt(v) + self.settings.get("eps", 1e-8))
        self.memory[name, "b"] = b
        return p - rate * b


def by_hand(settings, start, gradients, parts=PARTS):
    """The parameters after all steps."""
    rule = ByHand(settings["kind"], settings)
    values = {name: value.astype(np.float64) for name, value in start.items()}
    layer_decay = settings.get("layer_decay", 1.0)
    for rate, given in zip(RATES, gradients, strict=True):
        rule.t += 1
        for name, value in values.items():
            is_spared = settings.get("decay_norm_and_bias") is False and value.ndim == 1
            decay = 0.0 if is_spared else settings["weight_decay"]
            own = rate * (layer_decay if name in parts["stem"] else 1.0)
            values[name] = rule.step(name, value, given[name].astype(np.float64), own, decay)
    return values


def by_mindspore(settings, start, gradients, parts=PARTS):
    """The parameters after all steps of the compiled optimizer, in another order than they have."""
    prepare()
    import mindspore as ms

    from archspec.train.engine.optimizers import make_optimizer

    class Holder(ms.nn.Cell):
        def __init__(self):
            super().__init__()
            for name, value in start.items():
                setattr(self, name.replace(".", "_"), ms.Parameter(ms.Tensor(value), name=name))

    ms.set_context(mode=ms.GRAPH_MODE)
    recipe = Recipe(epochs=1, batch_size=1, optimizer=OptimizerRecipe(**settings))
    holder = Holder()
    optimizer = make_optimizer(holder, recipe, RATES, parts)
    for given in gradients:
        optimizer(tuple(ms.Tensor(given[p.name]) for p in optimizer.parameters))
    assert int(optimizer.global_step.asnumpy()[0]) == len(RATES)
    return {p.name: p.asnumpy() for p in holder.get_parameters()}


KINDS = ("sgd", "momentum", "nesterov", "adam", "adamw", "lion", "lamb", "rmsprop")
NO_DECAY = {"weight_decay": 0.0}
SPARED = {"weight_decay": 0.05, "decay_norm_and_bias": False}
OWN = {
    "adam": {"betas": (0.5, 0.8), "eps": 0.1},
    "adamw": {"betas": (0.5, 0.8), "eps": 0.1},
    "lamb": {"betas": (0.5, 0.8), "eps": 0.1},
    "lion": {"betas": (0.5, 0.8)},
    "rmsprop": {"momentum": 0.9, "alpha": 0.8, "eps": 0.1},
}
CASES = [
    *({"kind": kind, **NO_DECAY} for kind in KINDS),
    *({"kind": kind, **SPARED, **own} for kind, own in OWN.items()),
    {"kind": "sgd", **SPARED, "layer_decay": 0.5},
]
OTHERS_SHOW_IT = [{"kind": kind, **SPARED, "layer_decay": 0.5} for kind in ("adam", "lamb")]


@pytest.mark.parametrize(
    "settings",
    [*CASES, *(pytest.param(case, marks=pytest.mark.slow) for case in OTHERS_SHOW_IT)],
    ids=lambda case: " ".join(map(str, case.values())),
)
def test_four_steps_are_those_of_the_published_formula(settings):
    """The rate changes each step; with and without decay, and with one that spares gammas."""
    start, gradients = draw(0), [draw(seed) for seed in range(1, 5)]
    found, expected = by_mindspore(settings, start, gradients), by_hand(settings, start, gradients)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=2e-5, atol=2e-6, err_msg=name)
        assert np.abs(value - start[name]).max() > 1e-3


def test_a_part_alone_has_its_own_rate_too():
    """Where the others are frozen, the rate is still not the schedule's."""
    start, gradients = draw(0), [draw(seed) for seed in range(1, 5)]
    parts = {"stem": list(SHAPES), "head": []}
    settings = {"kind": "sgd", **SPARED, "layer_decay": 0.5}
    found = by_mindspore(settings, start, gradients, parts)
    for name, value in by_hand(settings, start, gradients, parts).items():
        np.testing.assert_allclose(found[name], value, rtol=2e-5, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("kind", [pytest.param("adamw", marks=pytest.mark.slow), "lamb", "rmsprop"])
def test_gradients_of_zero_move_nothing_but_by_decay(kind):
    """No division by zero, and lamb's length of a step that is none."""
    start = draw(0) | {"a.bias": np.zeros(3, np.float32)}
    gradients = [{name: np.zeros_like(value) for name, value in start.items()}] * 4
    found = by_mindspore({"kind": kind, "weight_decay": 0.0}, start, gradients)
    for name, value in start.items():
        np.testing.assert_array_equal(found[name], value)
