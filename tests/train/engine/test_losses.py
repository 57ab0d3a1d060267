"""Losses against PyTorch's, MindCV's and the paper's definitions, written out in NumPy."""

import numpy as np
import pytest

from archspec.errors import SpecError
from archspec.runtime import prepare
from archspec.train.recipe.loss import LossRecipe, class_weights_of
from archspec.train.recipe.recipe import Recipe, load_recipe

IMAGES, CLASSES = 6, 4
WEIGHTS = (0.5, 1.0, 2.0, 4.0)
SMOOTHING = 0.1


def cross_entropy(logits, targets, smoothing, weights, gamma=0.0):
    """torch.nn.CrossEntropyLoss's documentation, times (1 - p) ** gamma of 1708.02002."""
    logs = logits - logits.max(axis=1, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(axis=1, keepdims=True))
    terms = -np.asarray(weights) * logs * (1 - np.exp(logs)) ** gamma
    if targets.ndim == 2:
        shares = (1 - smoothing) * targets + smoothing / CLASSES
        return (shares * terms).sum() / len(logits)
    rows = np.arange(len(logits))
    hard, soft = terms[rows, targets].sum(), terms.sum()
    total = np.asarray(weights)[targets].sum()
    return ((1 - smoothing) * hard + smoothing / CLASSES * soft) / total


def focal(logits, targets, smoothing, weights):
    return cross_entropy(logits, targets, smoothing, weights, gamma=2.0)


def bce(logits, targets, smoothing, weights):
    """torch.nn.BCEWithLogitsLoss; mindcv/loss/binary_cross_entropy_smooth.py."""
    shares = np.eye(CLASSES)[targets] if targets.ndim == 1 else targets
    shares = (1 - smoothing) * shares + smoothing / CLASSES
    terms = np.logaddexp(0, logits) - logits * shares
    return (terms * np.asarray(weights)).mean()


RULES = {"cross_entropy": cross_entropy, "bce": bce, "focal": focal}
VARIANTS = ((0.0, None), (SMOOTHING, None), (SMOOTHING, WEIGHTS))
CASES = [(kind, *variant) for kind in RULES for variant in VARIANTS]


def data():
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(IMAGES, CLASSES), scale=3).astype(np.float32)
    logits[0] = 0  # what a new classifier gives
    labels = rng.integers(CLASSES, size=IMAGES).astype(np.int32)
    mixed = rng.dirichlet(np.ones(CLASSES), size=IMAGES).astype(np.float32)
    several = (rng.random((IMAGES, CLASSES)) < 0.5).astype(np.float32)
    return logits, labels, mixed, several


def by_hand(logits, targets):
    found = []
    for kind, smoothing, weights in CASES:
        own = np.ones(CLASSES) if weights is None else weights
        found.append(RULES[kind](logits, targets, smoothing, own))
    return np.array(found)


def test_losses_and_slopes_are_those_of_the_published_definitions():
    """Of labels, of mixed labels and of several labels an image; each loss, with smoothing and
    weights of classes and without.
    """
    prepare()
    import mindspore as ms

    from archspec.train.engine.losses import make_loss

    class All(ms.nn.Cell):
        def __init__(self):
            super().__init__()
            self.losses = ms.nn.CellList()
            for kind, smoothing, weights in CASES:
                loss = LossRecipe(kind=kind, label_smoothing=smoothing)
                recipe = Recipe(epochs=1, batch_size=1, loss=loss)
                self.losses.append(make_loss(recipe, weights))

        def construct(self, logits, targets):
            found = ()
            for loss in self.losses:
                found = (*found, loss(logits, targets))
            found = ms.ops.stack(found)
            return ms.ops.sum(found), found

    ms.set_context(mode=ms.GRAPH_MODE)
    logits, *kinds = data()
    measure = ms.value_and_grad(All(), 0, has_aux=True)
    for targets in kinds:
        given = ms.Tensor(logits), ms.Tensor(targets)
        exact = logits.astype(np.float64)
        (_, losses), slopes = measure(*given)
        np.testing.assert_allclose(losses.asnumpy(), by_hand(exact, targets), rtol=2e-5)
        slope = np.zeros_like(exact)
        for place in np.ndindex(*exact.shape):
            step = np.zeros_like(exact)
            step[place] = 1e-5
            ahead, behind = by_hand(exact + step, targets), by_hand(exact - step, targets)
            slope[place] = (ahead.sum() - behind.sum()) / 2e-5
        np.testing.assert_allclose(slopes.asnumpy(), slope, rtol=1e-3, atol=1e-4)


def flatten(logits, targets):
    """Pixels that have a label as rows of logits and labels."""
    has_label = targets >= 0
    return np.moveaxis(logits, 1, -1)[has_label], targets[has_label]


def test_losses_of_pixels_are_those_of_as_many_images():
    """Of those that have a label, and their slopes; the others have none. Each loss, with smoothing
    and weights of classes and without; a batch without a label has the loss 0 and no slope.
    """
    prepare()
    import mindspore as ms

    from archspec.train.engine.losses import make_loss

    class All(ms.nn.Cell):
        def __init__(self):
            super().__init__()
            self.losses = ms.nn.CellList()
            for kind, smoothing, weights in CASES:
                loss = LossRecipe(kind=kind, label_smoothing=smoothing)
                self.losses.append(make_loss(Recipe(epochs=1, batch_size=1, loss=loss), weights))

        def construct(self, logits, targets):
            found = ()
            for loss in self.losses:
                found = (*found, loss(logits, targets))
            found = ms.ops.stack(found)
            return ms.ops.sum(found), found

    ms.set_context(mode=ms.GRAPH_MODE)
    rng = np.random.default_rng(4)
    logits = rng.normal(size=(2, CLASSES, 3, 2), scale=3).astype(np.float32)
    targets = rng.integers(-1, CLASSES, size=(2, 3, 2)).astype(np.int32)
    targets[0, 0] = -1
    measure = ms.value_and_grad(All(), 0, has_aux=True)
    (_, losses), slopes = measure(ms.Tensor(logits), ms.Tensor(targets))
    exact = logits.astype(np.float64)
    np.testing.assert_allclose(losses.asnumpy(), of_rows(exact, targets), rtol=2e-5)
    slope = np.zeros_like(exact)
    for place in np.ndindex(*exact.shape):
        step = np.zeros_like(exact)
        step[place] = 1e-5
        ahead, behind = of_rows(exact + step, targets), of_rows(exact - step, targets)
        slope[place] = (ahead.sum() - behind.sum()) / 2e-5
    np.testing.assert_allclose(slopes.asnumpy(), slope, rtol=1e-3, atol=1e-4)
    assert not slopes.asnumpy()[0, :, 0].any()
    nothing = ms.Tensor(np.full_like(targets, -1))
    (_, losses), slopes = measure(ms.Tensor(logits), nothing)
    assert not losses.asnumpy().any()
    assert not slopes.asnumpy().any()


def of_rows(logits, targets):
    """The mean over rows, for which the published definitions divide by their number."""
    rows, labels = flatten(logits, targets)
    found = []
    for kind, smoothing, weights in CASES:
        own = np.ones(CLASSES) if weights is None else weights
        found.append(RULES[kind](rows, labels, smoothing, own))
    return np.array(found)


def test_right_answers_of_pixels_are_a_share_of_those_that_have_a_label():
    """Times the images, as the accuracy of images is told."""
    prepare()
    import mindspore as ms

    from archspec.train.engine.losses import RightAnswers

    logits = np.zeros((2, 3, 2, 2), np.float32)
    logits[:, 1] = 1
    targets = np.array([[[1, 1], [0, -1]], [[1, -1], [-1, 2]]], np.int32)
    count = float(RightAnswers()(ms.Tensor(logits), ms.Tensor(targets)).asnumpy())
    assert count == pytest.approx(2 * 3 / 5)


def test_right_answers_are_counted_of_shares_too():
    """The first guess must be the label, the largest share, or one of several labels."""
    prepare()
    import mindspore as ms

    from archspec.train.engine.losses import RightAnswers

    logits = ms.Tensor(np.array([[3, 1, 0], [0, 5, 1], [1, 2, 9]], np.float32))
    labels = ms.Tensor(np.array([0, 2, 2], np.int32))
    mixed = ms.Tensor(np.array([[0.4, 0.6, 0], [0.2, 0.7, 0.1], [0, 0.5, 0.5]], np.float32))
    several = ms.Tensor(np.array([[1, 1, 0], [0, 1, 1], [1, 1, 0]], np.float32))
    counts = [float(RightAnswers()(logits, t).asnumpy()) for t in (labels, mixed, several)]
    assert counts == [2.0, 2.0, 2.0]


def test_balanced_weights_are_scikit_learns():
    """n / (classes x count): compute_class_weight("balanced"); a class without images weighs 1."""
    loss = LossRecipe(class_weights="balanced")
    assert class_weights_of(loss, [0, 0, 0, 1, 2, 2], 3) == (6 / 9, 6 / 3, 6 / 6)
    assert class_weights_of(loss, [0, 0, 2, 2], 3) == (4 / 6, 1.0, 4 / 6)


def test_balanced_weights_of_pixels_are_those_of_their_counts():
    """Masks are counted where it is asked for alone; a network may have more classes."""
    loss = LossRecipe(class_weights="balanced")
    weights = class_weights_of(loss, [0, 0], 4, lambda: [30, 10, 0])
    assert weights == (40 / 120, 40 / 40, 1.0, 1.0)
    asked = []
    assert class_weights_of(LossRecipe(), [0, 0], 3, lambda: asked.append(1)) is None
    assert asked == []


def test_weights_are_those_said_or_none():
    """A list is taken as it is."""
    assert class_weights_of(LossRecipe(), [0, 1], 2) is None
    assert class_weights_of(LossRecipe(class_weights=(1.0, 3.0)), [0, 1], 2) == (1.0, 3.0)


def test_a_list_of_another_number_of_classes_is_refused():
    """At its place, with both numbers."""
    recipe = load_recipe("digits", ["loss.class_weights=[1.0, 2.0]"])
    with pytest.raises(SpecError, match=r"S006 class_weights are 2 weights.* 3 classes"):
        recipe.check_classes(3)
    recipe.check_classes(2)


SMOOTHED = {
    "at the top": (["label_smoothing=0.2"], 0.2),
    "in the loss": (["loss.label_smoothing=0.3"], 0.3),
    "none in the loss": (["loss.label_smoothing=0.0"], 0.0),
    "another loss": (["loss.kind=bce"], 0.1),
}


@pytest.mark.parametrize(("settings", "smoothing"), SMOOTHED.values(), ids=SMOOTHED)
def test_smoothing_is_what_was_said_last(settings, smoothing, tmp_path):
    """The shipped recipe says it at the top; the short form and the long one replace each other."""
    from archspec.files import to_yaml

    recipe = load_recipe("digits", settings)
    assert recipe.smoothing == smoothing
    (tmp_path / "saved.yaml").write_text(to_yaml(recipe.resolved()))
    assert load_recipe(tmp_path / "saved.yaml").smoothing == smoothing


def test_both_forms_of_smoothing_at_once_are_refused():
    """Two that are typed are no replacement."""
    settings = ["label_smoothing=0.1", "loss.label_smoothing=0.2"]
    with pytest.raises(SpecError, match=r"label_smoothing and loss.label_smoothing say the same"):
        load_recipe("cifar_paper", settings)
