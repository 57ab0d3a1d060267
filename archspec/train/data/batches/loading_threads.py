"""Threads that fill batches, some of them ahead of who takes them.

A task is a part of a batch, whose images are written where they are to be: no object is passed on
for each image. Decoding, resizing and NumPy hold no lock, so threads serve, and nothing is copied
between processes.
"""

from __future__ import annotations

import atexit
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Thread

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from archspec.train.data.batches.samples import Batch, Samples
from archspec.train.data.images.image_files import keep_freed_memory
from archspec.train.distributed.pulse import beat

AHEAD = 2
"""Batches that are filled, or being filled, when one is taken."""
MAX_PART = 8
"""Images of a task at most: threads end their work together, and stop soon."""
TURN_SECONDS = 0.0005
"""After which a thread gives Python's lock to one that waits for it. By Python's own, ten times as
long, one that has decoded an image waits for another that draws: 2.5 % fewer images a second.
"""


def count_processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))


@dataclass
class LoaderTimes:
    """How long threads took for images."""

    images: int = 0
    seconds: float = 0.0
    """Of all threads together."""
    threads: int = 1

    @property
    def images_per_second(self) -> float:
        """How many the threads make where nobody keeps them waiting, 0 where none was made."""
        return self.images * self.threads / self.seconds if self.seconds else 0.0


@dataclass
class _Part:
    """Samples that go into a batch from a place on."""

    samples: list[int]
    place: int
    batch: Batch
    done: Future[float]
    """Its seconds."""


def fill_batches(
    samples: Samples,
    order: npt.NDArray[np.int64],
    batch_size: int,
    threads: int,
    times: LoaderTimes,
) -> Iterator[Batch]:
    """Yield the batches of samples in this order; one at the end that is not full has zero images
    that count for nothing behind. `times` is told of each batch.
    """
    times.threads = threads
    with _LoadingThreads(samples, threads) as loading:
        waiting: deque[list[_Part]] = deque()
        for start in range(0, len(order), batch_size):
            waiting.append(loading.begin(order[start : start + batch_size].tolist(), batch_size))
            if len(waiting) > AHEAD:
                yield loading.finish(waiting.popleft(), times)
        while waiting:
            yield loading.finish(waiting.popleft(), times)


class _LoadingThreads:
    """Daemons: a process that ends waits for the image in their hands, not for those ahead."""

    def __init__(self, samples: Samples, count: int) -> None:
        self.samples = samples
        self.parts: SimpleQueue[_Part | None] = SimpleQueue()
        self.threads = [Thread(target=self._work, daemon=True) for _ in range(count)]
        # Small arrays are made under Python's own lock: more threads would slow one another down.
        self.is_shared = bool(samples.source.files) and count < count_processors()
        self.is_closed = False
        self.usual_turn = sys.getswitchinterval()

    def __enter__(self) -> Self:
        keep_freed_memory(len(self.threads))
        sys.setswitchinterval(min(self.usual_turn, TURN_SECONDS))
        # A generator that somebody still holds at the end of the process is never closed in time.
        atexit.register(self._close)
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        atexit.unregister(self._close)
        self._close()

    def _close(self) -> None:
        self.is_closed = True
        for _ in self.threads:
            self.parts.put(None)
        for thread in self.threads:
            thread.join()
        sys.setswitchinterval(self.usual_turn)

    def begin(self, samples: list[int], batch_size: int) -> list[_Part]:
        """Hand a batch to the threads, as many parts as there are of them or more."""
        batch = self.samples.make_batch(batch_size, len(samples))
        length = min(-(-batch_size // len(self.threads)), MAX_PART)
        parts = []
        for place in range(0, len(samples), length):
            part = _Part(samples[place : place + length], place, batch, Future())
            self.parts.put(part)
            parts.append(part)
        return parts

    def finish(self, parts: list[_Part], times: LoaderTimes) -> Batch:
        """Return a batch that was begun; who would have to wait for it fills parts, too."""
        for part in parts:
            while self.is_shared and not part.done.done() and self._fill_next():
                pass
            times.seconds += part.done.result()
            times.images += len(part.samples)
        return parts[0].batch

    def _fill_next(self) -> bool:
        """Fill a part that nobody has in hand; return whether there was one."""
        with suppress(Empty):
            part = self.parts.get_nowait()
            if part is not None:
                self._fill(part)
                return True
        return False

    def _work(self) -> None:
        while (part := self.parts.get()) is not None:
            self._fill(part)

    def _fill(self, part: _Part) -> None:
        began = time.perf_counter()
        try:
            for place, sample in enumerate(part.samples, part.place):
                if self.is_closed:
                    break
                self.samples.fill(sample, place, part.batch)
                beat()
            part.done.set_result(time.perf_counter() - began)
        except Exception as error:
            part.done.set_exception(error)  # raised again where the batch is taken
        except BaseException as error:  # such as Ctrl-C, of the thread that takes batches
            part.done.set_exception(error)
            raise
