"""What training makes small: the mean loss of logits and targets.

Imports mindspore; call `archspec.runtime.prepare` before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn, ops

from archspec.train.recipe.model import Recipe


def make_loss(recipe: Recipe, class_weights: Sequence[float] | None = None) -> Any:
    """Return a cell of logits (N, classes) float32 and targets -> their mean loss.

    Targets are labels (N,) int32, or (N, classes) float32: shares of classes, as mixed images have
    them, or for `bce` a 1 for each label of an image.
    """
    weights = None if class_weights is None else Tensor(class_weights, ms.float32)
    kind = recipe.loss.kind
    if kind == "bce":
        return BinaryCrossEntropy(recipe.smoothing, weights)
    if kind == "focal":
        return FocalLoss(recipe.loss.gamma, recipe.smoothing, weights)
    if weights is None:
        return nn.CrossEntropyLoss(label_smoothing=recipe.smoothing)
    return FocalLoss(0.0, recipe.smoothing, weights)


def count_right(logits: Any, targets: Any) -> Any:
    """Return how many first guesses are right: the label, or one of the largest shares.

    Of an image with several labels any of them is right.
    """
    guesses = ops.argmax(logits, 1)
    if targets.ndim == 1:
        return ops.sum(ops.cast(guesses == targets, ms.float32))
    shares = ops.sum(_to_shares(guesses, targets) * targets, 1)
    return ops.sum(ops.cast(shares >= ops.amax(targets, 1), ms.float32))


def _to_shares(labels: Any, like: Any) -> Any:
    return ops.one_hot(
        ops.cast(labels, ms.int32), like.shape[1], Tensor(1.0, ms.float32), Tensor(0.0, ms.float32)
    )


class FocalLoss(nn.Cell):
    """Cross entropy of each image times (1 - p) ** gamma: Lin et al. 2017, arXiv 1708.02002, with
    the softmax's p; gamma 0 is PyTorch's cross entropy.
    """

    def __init__(self, gamma: float, smoothing: float, weights: Any) -> None:
        super().__init__()
        self.gamma, self.smoothing, self.weights = gamma, smoothing, weights

    def construct(self, logits: Any, targets: Any) -> Any:
        """Return the mean over images, of single labels weighted by their classes' weights."""
        shares = targets
        if targets.ndim == 1:
            shares = _to_shares(targets, logits)
        logs = ops.log_softmax(logits, 1)
        smooth = (1 - self.smoothing) * shares + self.smoothing / logits.shape[1]
        terms = -smooth * logs
        if self.gamma > 0:
            # Above 0: the slope of a power below 1 is infinite there.
            terms = terms * ops.clamp(1 - ops.exp(logs), 1e-7) ** self.gamma
        if self.weights is None:
            return ops.sum(terms) / logits.shape[0]
        # PyTorch's mean: of labels by the sum of their weights, of shares by the number of images.
        total = logits.shape[0]
        if targets.ndim == 1:
            # A batch of classes that weigh nothing has no loss, and no slope.
            total = ops.maximum(ops.sum(shares * self.weights), Tensor(1e-12, ms.float32))
        return ops.sum(terms * self.weights) / total


class BinaryCrossEntropy(nn.Cell):
    """Of each class's sigmoid, with logits; smoothing as MindCV and timm have it."""

    def __init__(self, smoothing: float, weights: Any) -> None:
        super().__init__()
        self.smoothing, self.weights = smoothing, weights

    def construct(self, logits: Any, targets: Any) -> Any:
        """Return the mean over images and classes."""
        shares = targets
        if targets.ndim == 1:
            shares = _to_shares(targets, logits)
        smooth = (1 - self.smoothing) * shares + self.smoothing / logits.shape[1]
        ones = ops.ones_like(logits)
        weights = ones
        if self.weights is not None:
            weights = ones * self.weights
        return ops.binary_cross_entropy_with_logits(logits, smooth, weights, ones)
