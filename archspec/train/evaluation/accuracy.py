"""Top-1, top-5 and loss over exactly every image once.

Batches of an evaluation all have one size, so one compiled graph serves; the last is filled up and
the filling masked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from archspec.errors import TrainingError
from archspec.train.distributed.worker_group import all_reduce_sum

Batches = Iterable[tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]]


@dataclass(frozen=True)
class Accuracy:
    """Mean cross entropy, and shares of images whose class is the first,
    or among the first five, guesses.
    """

    loss: float
    top1: float
    top5: float
    images: int


def measure_accuracy(network: Any, batches: Batches) -> Accuracy:
    """Return the accuracy of a network over batches of images (N, C, H,
    W) and labels (N,), -1 for filling.

    The network is left in evaluation mode. Under data parallelism each rank brings its share of the
    images and all get the figures of the whole.
    """
    from mindspore import Tensor

    network.set_train(False)
    sums = np.zeros(4)  # of 64 bits: the sum of many small losses would round in 32
    for images, labels in batches:
        logits = network(Tensor(images)).asnumpy().astype(np.float64)
        sums += _sum_figures(check_finite(logits[labels >= 0]), labels[labels >= 0])
    loss, top1, top5, count = (float(value) for value in all_reduce_sum(sums.astype(np.float32)))
    return Accuracy(loss / max(count, 1), top1 / max(count, 1), top5 / max(count, 1), int(count))


def check_finite(logits: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the logits. Raises TrainingError (T006) where one of them is no number."""
    if not np.isfinite(logits).all():
        raise TrainingError.one(
            "T006",
            "the network gives what is no number: its weights or moving statistics overflowed",
            "",
            "a lower --lr, or in half precision a smaller loss_scale",
        )
    return logits


def _sum_figures(
    logits: npt.NDArray[np.float64], labels: npt.NDArray[np.int32]
) -> npt.NDArray[np.float64]:
    """Summed loss, right first guesses, right among five guesses, number of images."""
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[rows, labels]
    own = logits[rows, labels][:, None]
    # Of equal logits the first counts as the better guess: a network that says the same of all is
    # no good one.
    ahead = (logits > own) | ((logits == own) & (np.arange(logits.shape[1]) < labels[:, None]))
    better = ahead.sum(axis=1)
    return np.array([losses.sum(), (better < 1).sum(), (better < 5).sum(), len(labels)])
