"""What a loop calls, for every recipe: state that a checkpoint knows, networks to judge by."""

import numpy as np
import pytest

from archspec.errors import SpecError
from archspec.runtime import prepare
from archspec.spec.load import load_spec
from archspec.train.recipe.recipe import load_recipe
from archspec.weights.formats.ckpt import TRAINING_STATE

TINY = ["block_config=[1,1]", "growth_rate=4", "stem.channels=4"]
LABELS = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9], np.int32)


def engine_of(*settings, batches=6):
    prepare()
    import mindspore as ms

    from archspec.train.engine.engine import make_engine

    ms.set_context(mode=ms.GRAPH_MODE)
    recipe = load_recipe("digits", ["epochs=2", *settings])
    return make_engine(load_spec("densenetbc_digits", TINY), recipe, labels=LABELS, batches=batches)


EVERYTHING = (
    "amp=O2",
    "val_amp=O0",
    "loss_scale=dynamic",
    "clip={norm: 1.0}",
    "accumulate=4",
    "ema={decay: 0.9}",
    "freeze=stem",
    "on_nan=skip",
    "loss={kind: focal, class_weights: balanced}",
    "optimizer.layer_decay=0.75",
)


@pytest.mark.parametrize(
    "kind", ["sgd", "momentum", "nesterov", "adam", "adamw", "lion", "lamb", "rmsprop"]
)
def test_a_checkpoint_tells_all_state_from_the_networks_parameters(kind):
    """`TRAINING_STATE` knows each name beside the network's; none stands for two things; the rates
    are left to the recipe.
    """
    engine = engine_of(f"optimizer.kind={kind}", *EVERYTHING)
    network = {p.name for p in engine.network.get_parameters()}
    names = [p.name for p in engine.state()]
    assert len(set(names)) == len(names)
    assert network < set(names)
    others = set(names) - network
    assert {"ema.classifier.weight", "skipped_updates", "scale_sense"} <= others
    assert [name for name in others if not TRAINING_STATE.match(name)] == []
    assert not [name for name in names if name.startswith("learning_rate")]
    averages = {p.name for p in engine.get_parameters()} - network
    assert averages == {f"ema.{name}" for name in network}


def test_batches_that_fill_no_update_are_left_out():
    """Of six batches four are an update; every batch of it has its rate."""
    engine = engine_of("accumulate=4", "schedule={kind: exponential, factor: 0.5}")
    assert engine.batches_per_epoch == 4
    assert engine.rates == [0.1, 0.05]
    found = [engine.rate_at(epoch, batch, 4) for epoch in (0, 1) for batch in range(4)]
    assert found == [0.1] * 4 + [0.05] * 4


def test_a_plain_recipe_is_judged_by_the_network_that_is_trained():
    """No second network is built, and nothing is averaged."""
    engine = engine_of()
    assert engine.judge is engine.network
    assert engine.averaged is None
    assert engine.get_parameters() == list(engine.network.get_parameters())


def test_all_of_it_together_trains_and_judges():
    """One update of four batches in half precision, judged in full and by its averages."""
    import mindspore as ms

    engine = engine_of("optimizer.kind=lamb", *EVERYTHING, "dynamic_loss_scale.initial=1024.0")
    rng = np.random.default_rng(0)
    images = ms.Tensor(rng.normal(size=(8, 1, 8, 8)).astype(np.float32))
    labels = ms.Tensor(rng.integers(10, size=8).astype(np.int32))
    engine.network.set_train(True)
    before = {p.name: p.asnumpy().copy() for p in engine.network.get_parameters()}
    for _ in range(4):
        loss, right = engine.step(images, labels)
        assert np.isfinite(float(loss.asnumpy()))
        assert 0 <= float(right.asnumpy()) <= 8
    moved = {
        p.name for p in engine.network.get_parameters() if (p.asnumpy() != before[p.name]).any()
    }
    assert "classifier.weight" in moved
    assert "features.conv0.weight" not in moved
    logits, averages = engine.judge(images).asnumpy(), engine.averaged(images).asnumpy()
    assert np.isfinite(logits).all()
    assert np.abs(logits - averages).max() > 1e-4


def test_what_does_not_fit_the_network_is_refused():
    """A part that it has not, weights of other classes."""
    with pytest.raises(SpecError, match="freeze names block 3, which the network has not"):
        engine_of("freeze=block 3")
    with pytest.raises(SpecError, match="class_weights are 2 weights, the network gives 10"):
        engine_of("loss.class_weights=[1.0, 2.0]")


@pytest.mark.slow
def test_densenet121_learns_with_lamb_averages_and_a_bound_of_the_norm():
    """Hundreds of tensors: the loss falls on one batch."""
    prepare()
    import mindspore as ms

    from archspec.train.engine.engine import make_engine

    ms.set_context(mode=ms.GRAPH_MODE)
    spec = load_spec("densenet121", ["input.height=64", "input.width=64"])
    settings = ["optimizer.kind=lamb", "ema={}", "clip={norm: 1.0}", "optimizer.layer_decay=0.75"]
    recipe = load_recipe("imagefolder", settings)
    engine = make_engine(spec, recipe, labels=LABELS, batches=8)
    engine.network.set_train(True)
    rng = np.random.default_rng(0)
    images = ms.Tensor(rng.normal(size=(4, 3, 64, 64)).astype(np.float32))
    labels = ms.Tensor(np.arange(4, dtype=np.int32))
    losses = [float(engine.step(images, labels)[0].asnumpy()) for _ in range(6)]
    assert losses[-1] < losses[0] / 2
    assert np.isfinite(engine.averaged(images).asnumpy()).all()


@pytest.mark.slow
def test_the_network_of_103_layers_takes_a_step_by_the_papers_recipe():
    """On CamVid's classes, some pixels ignored: the loss is a number, and every weight moves."""
    prepare()
    import mindspore as ms

    from archspec.train.engine.engine import make_engine

    ms.set_context(mode=ms.GRAPH_MODE)
    spec = load_spec("fcdensenet103", ["input.height=64", "input.width=64"])
    recipe = load_recipe("camvid_paper", ["epochs=1", "loss.class_weights=balanced"])
    counted = []

    def count_pixels():
        counted.append(True)
        return range(1, 12)

    labels = np.zeros(8, np.int32)
    engine = make_engine(spec, recipe, labels=labels, batches=4, count_pixels=count_pixels)
    rng = np.random.default_rng(0)
    targets = rng.integers(-1, 11, (2, 64, 64)).astype(np.int32)
    images = np.repeat(targets[:, None], 3, axis=1).astype(np.float32) / 11
    engine.network.set_train(True)
    before = {p.name: p.asnumpy().copy() for p in engine.network.trainable_params()}
    loss, right = engine.step(ms.Tensor(images), ms.Tensor(targets))
    assert counted == [True]
    assert 0 < float(loss) < 5 * np.log(11)
    assert 0 <= float(right) <= 2
    after = {p.name: p.asnumpy() for p in engine.network.trainable_params()}
    assert [name for name in after if np.array_equal(after[name], before[name])] == []
