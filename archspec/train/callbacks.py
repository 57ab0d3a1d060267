"""What a program of one's own may do while a run trains: one class with five methods.

>>> class Stop(Callback):
...     def on_step_end(self, training, loss):
...         if training.position.batches == 100:
...             training.stop()
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from archspec.train.trainer import Trainer


class Callback:
    """Override what is of interest; the others do nothing.

    `training` has `network`, `optimizer`, `run` and `position`, and ends the run in good order
    when its `stop()` is called. A callback that draws at random, or changes weights, makes a run
    that goes on after an interruption another one than it would have been.
    """

    def on_train_begin(self, training: Trainer) -> None:
        """Before the first step of this process, a run that is taken up again being restored."""

    def on_epoch_begin(self, training: Trainer) -> None:
        """Before the first step of an epoch, or before the next one of an epoch that goes on."""

    def on_step_end(self, training: Trainer, loss: Any) -> None:
        """After a step; `loss` is a scalar tensor on the device, and reading it waits for it."""

    def on_epoch_end(self, training: Trainer, figures: Mapping[str, float]) -> None:
        """After the validation and the checkpoint of an epoch;
        `figures` is its line in metrics.jsonl.
        """

    def on_train_end(self, training: Trainer, figures: Mapping[str, float]) -> None:
        """After the last judgement, the network having the weights of the best checkpoint."""
