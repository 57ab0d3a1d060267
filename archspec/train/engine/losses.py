"""What training makes small: the mean loss of logits and targets.

Imports mindspore; call `archspec.runtime.prepare` before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn, ops

from archspec.train.recipe.recipe import Recipe


def make_loss(recipe: Recipe, class_weights: Sequence[float] | None = None, world: int = 1) -> Any:
    """Return a cell of logits (N, classes, ...) float32 and targets -> their mean loss.

    Targets are labels (N, ...) int32, of images or of each pixel, where -1 counts in nothing; or
    (N, classes) float32: shares of classes, as mixed images have them, or for `bce` a 1 for each
    label of an image. The mean of what so many devices return is that of all their images.
    """
    weights = None if class_weights is None else Tensor(class_weights, ms.float32)
    kind, mean_count = recipe.loss.kind, MeanCount(world)
    if kind == "bce":
        return BinaryCrossEntropy(recipe.smoothing, weights, mean_count)
    if kind == "focal":
        return FocalLoss(recipe.loss.gamma, recipe.smoothing, weights, mean_count)
    if weights is None:
        return CrossEntropy(recipe.smoothing, mean_count)
    return FocalLoss(0.0, recipe.smoothing, weights, mean_count)


class MeanCount(nn.Cell):
    """What counts in a device's batch -> the mean of that over the devices, above 0.

    A sum over pixels or weighted labels is divided by it: where devices have not as many of them,
    the mean of the devices' own means would be no mean over all.
    """

    def __init__(self, world: int) -> None:
        super().__init__()
        self.world = world
        if world > 1:
            self.add_up = ops.AllReduce()

    def construct(self, count: Any) -> Any:
        """Return the mean, through which no gradient goes."""
        if self.world > 1:
            count = ops.stop_gradient(self.add_up(count)) / self.world
        # A batch in which nothing counts has no loss, and no slope.
        return ops.maximum(count, Tensor(1e-12, ms.float32))


class RightAnswers(nn.Cell):
    """Logits and targets -> how many first guesses are right: the label, or one of the largest
    shares.

    Of an image with several labels any of them is right; of one with a label for each pixel the
    share of pixels that are.
    """

    def __init__(self, world: int = 1) -> None:
        super().__init__()
        self.mean_count = MeanCount(world)

    def construct(self, logits: Any, targets: Any) -> Any:
        """Count them."""
        guesses = ops.argmax(logits, 1)
        if targets.ndim == logits.ndim:
            shares = ops.sum(_to_shares(guesses, targets) * targets, 1)
            return ops.sum(ops.cast(shares >= ops.amax(targets, 1), ms.float32))
        right = ops.sum(ops.cast(guesses == targets, ms.float32))
        if targets.ndim == 1:
            return right
        return right * targets.shape[0] / self.mean_count(ops.sum(_find_counted(targets)))


def _to_shares(labels: Any, like: Any) -> Any:
    """Labels (N, ...) as shares of classes (N, classes, ...)."""
    on, off = Tensor(1.0, ms.float32), Tensor(0.0, ms.float32)
    return ops.one_hot(ops.cast(labels, ms.int32), like.shape[1], on, off, axis=1)


def _find_counted(labels: Any) -> Any:
    """1 where there is a label, 0 where it is -1: (N, ...) as (N, 1, ...)."""
    return ops.expand_dims(ops.cast(labels >= 0, ms.float32), 1)


def _spread(weights: Any, logits: Any) -> Any:
    """A weight for each class, beside logits (N, classes, ...)."""
    return ops.reshape(weights, (-1,) + (1,) * (logits.ndim - 2))


class CrossEntropy(nn.Cell):
    """Of the softmax: the mean over images, or over the pixels that have a label."""

    def __init__(self, smoothing: float, mean_count: MeanCount) -> None:
        super().__init__()
        self.of_images = nn.CrossEntropyLoss(label_smoothing=smoothing)
        # MindSpore's own gives no number where no pixel of a batch has a label.
        self.of_pixels = FocalLoss(0.0, smoothing, None, mean_count)

    def construct(self, logits: Any, targets: Any) -> Any:
        """Return the mean."""
        if logits.ndim == 2:
            return self.of_images(logits, targets)
        return self.of_pixels(logits, targets)


class FocalLoss(nn.Cell):
    """Cross entropy of each image, or pixel, times (1 - p) ** gamma: Lin et al. 2017, arXiv
    1708.02002, with the softmax's p; gamma 0 is PyTorch's cross entropy.
    """

    def __init__(self, gamma: float, smoothing: float, weights: Any, mean_count: MeanCount) -> None:
        super().__init__()
        self.gamma, self.smoothing, self.weights = gamma, smoothing, weights
        self.mean_count = mean_count

    def construct(self, logits: Any, targets: Any) -> Any:
        """Return the mean over what has a label, of single labels weighted by their classes'
        weights.
        """
        has_labels = targets.ndim < logits.ndim
        shares = targets
        if has_labels:
            shares = _to_shares(targets, logits)
        logs = ops.log_softmax(logits, 1)
        smooth = (1 - self.smoothing) * shares + self.smoothing / logits.shape[1]
        if has_labels:
            smooth = smooth * _find_counted(targets)
        terms = -smooth * logs
        if self.gamma > 0:
            # Above 0: the slope of a power below 1 is infinite there.
            terms = terms * ops.clamp(1 - ops.exp(logs), 1e-7) ** self.gamma
        if self.weights is None:
            return ops.sum(terms) / self.total(shares, has_labels)
        weights = _spread(self.weights, logits)
        return ops.sum(terms * weights) / self.total(shares * weights, has_labels)

    def total(self, shares: Any, has_labels: Any) -> Any:
        """PyTorch's: of labels the sum of their weights, of shares the number of images."""
        if not has_labels:
            return shares.shape[0]
        return self.mean_count(ops.sum(shares))


class BinaryCrossEntropy(nn.Cell):
    """Of each class's sigmoid, with logits; smoothing as MindCV and timm have it."""

    def __init__(self, smoothing: float, weights: Any, mean_count: MeanCount) -> None:
        super().__init__()
        self.smoothing, self.weights, self.mean_count = smoothing, weights, mean_count

    def construct(self, logits: Any, targets: Any) -> Any:
        """Return the mean over classes of images, or of pixels that have a label."""
        shares = targets
        ones = ops.ones_like(logits)
        weights = ones
        if self.weights is not None:
            weights = ones * _spread(self.weights, logits)
        counted = 1.0
        if targets.ndim < logits.ndim:
            shares = _to_shares(targets, logits)
            labelled = _find_counted(targets)
            weights = weights * labelled
            counted = self.mean_count(ops.sum(labelled)) / targets.size
        smooth = (1 - self.smoothing) * shares + self.smoothing / logits.shape[1]
        return ops.binary_cross_entropy_with_logits(logits, smooth, weights, ones) / counted
