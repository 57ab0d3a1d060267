"""How quickly images come, and whether it is they that the network waits for."""

from __future__ import annotations

import time

from archspec.errors import format_count
from archspec.train.data.batches.loading_threads import LoaderTimes, count_processors
from archspec.train.recipe.data import DataRecipe

LEAST_SECONDS = 10.0
"""Of an epoch, of which it is told: in a shorter one starting and ending are much of it."""
MOSTLY = 0.9
"""Share of the time that threads are busy which never rest within an epoch."""


class ImageSpeed:
    """Watches the threads that make this device's images, while an epoch is trained."""

    def __init__(self) -> None:
        self.times = LoaderTimes()
        self._began, self._loaded = time.monotonic(), 0.0

    def restart(self) -> None:
        """Count from now on: while a network was compiled the threads had to wait."""
        self._began, self._loaded = time.monotonic(), self.times.seconds

    @property
    def busy(self) -> float:
        """The share of the time that the threads worked."""
        seconds = max(time.monotonic() - self._began, 1e-9) * self.times.threads
        return min((self.times.seconds - self._loaded) / seconds, 1.0)

    @property
    def is_limit(self) -> bool:
        """Whether training would be faster if images came faster.

        Steps that wait do not tell: an accelerator computes meanwhile what it was handed before.
        """
        return time.monotonic() - self._began > LEAST_SECONDS and self.busy > MOSTLY

    def read(self, devices: int) -> dict[str, float]:
        """Return how many images a second come where nobody keeps the threads waiting, on as many
        devices as this one, and how busy the threads were; nothing where no image came.
        """
        if not self.times.images:
            return {}
        speed = self.times.images_per_second * devices
        return {"loader_images_per_second": speed, "loader_busy": self.busy}

    def describe_limit(self, data: DataRecipe, devices: int, here: int) -> str:
        """Return in words that images are the limit, and what may help, where `here` of the devices
        share this machine's processors.
        """
        threads, processors = self.times.threads, count_processors()
        cures = []
        if data.workers > threads:
            cures.append("more processors")
        elif threads * here < processors:
            cures.append(f"more data.workers ({processors} processors)")
        if data.augment == "random_resized_crop" and data.image_backend == "pillow":
            cures.append("data.image_backend: opencv")
        speed = f"{self.times.images_per_second * devices:,.0f} a second"
        busy = f"{format_count(threads, 'thread')} {self.busy:.0%} of the time"
        told = f"images are what training waits for: they come at {speed}, busy are {busy}"
        return f"{told} ({', or '.join(cures)})" if cures else told
