"""Wishes of single workers that all must follow at the same step, such as to stop."""

from __future__ import annotations

import time

import numpy as np

from archspec.train.distributed.worker_group import all_reduce_sum, get_rank, get_world_size

SECONDS_BETWEEN = 1.0
MOST_STEPS_BETWEEN = 100


class Agreement:
    """Asks all workers together, at steps that all know beforehand.

    A worker that stopped by itself would leave the others waiting for its gradients, and clocks
    and signals are each worker's own. So the answers are added up over the workers. That takes a
    fraction of a millisecond, but on an accelerator it waits for all steps that were handed to it:
    it is done about once a second, every so many steps as that takes by the first worker's clock.
    """

    def __init__(self) -> None:
        self.rank, self.world = get_rank(), get_world_size()
        self.steps_left = 1
        self.steps = 0
        self.since = time.monotonic()

    def ask(self, *wishes: bool, at_once: bool = False) -> tuple[bool, ...]:
        """Return which of the wishes a worker has, of this step; all workers get the same answer.

        Every worker must call it after every step. Between the steps at which it asks, unless
        `at_once`, nobody has any wish.
        """
        if self.world == 1:
            return wishes
        self.steps += 1
        if self.steps < self.steps_left and not at_once:
            return (False,) * len(wishes)
        seconds = (time.monotonic() - self.since) / self.steps
        # One clock alone: a sum of several may be rounded otherwise by each who adds them up.
        told = seconds if self.rank == 0 else 0.0
        answers = all_reduce_sum(np.array([*wishes, told], np.float32))
        pause = SECONDS_BETWEEN / max(float(answers[-1]), 1e-6)
        self.steps_left = int(min(max(pause, 1), MOST_STEPS_BETWEEN))
        self.steps, self.since = 0, time.monotonic()
        return tuple(bool(answer > 0) for answer in answers[:-1])
