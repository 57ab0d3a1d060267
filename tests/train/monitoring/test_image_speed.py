"""Whether images or the network are the limit: by how busy the threads are that make images."""

import time

import numpy as np
import pytest
from batches_of_images import noise, photographs, raw

from archspec.train.data.batches.batches import LoaderTimes, load_batches
from archspec.train.data.batches.loading_threads import count_processors
from archspec.train.monitoring.image_speed import LEAST_SECONDS, ImageSpeed
from archspec.train.recipe.data import DataRecipe


def speed_of(threads, busy, *, lasted=100.0, images=1000):
    """Of an epoch that began so many seconds ago."""
    speed = ImageSpeed()
    speed._began = time.monotonic() - lasted
    speed.times = LoaderTimes(images=images, seconds=busy * threads * lasted, threads=threads)
    return speed


@pytest.mark.parametrize(
    ("busy", "lasted", "is_limit"), [(0.95, 100, True), (0.5, 100, False), (0.95, 5, False)]
)
def test_threads_that_never_rest_are_the_limit_of_an_epoch_that_lasts(busy, lasted, is_limit):
    """A short one begins and ends most of the time."""
    assert speed_of(2, busy, lasted=lasted).is_limit == is_limit
    assert LEAST_SECONDS > 5


def test_what_was_loaded_while_the_network_was_compiled_does_not_count():
    """Threads fill what they may fill ahead, and wait."""
    speed = speed_of(1, 1.0)
    speed.restart()
    assert speed.busy < 0.01
    assert not speed.is_limit


def test_the_loaders_own_speed_is_that_of_threads_that_nobody_keeps_waiting():
    """1,000 images took 2 threads 50 s each; on 8 devices there are as many loaders."""
    found = speed_of(2, 0.5).read(devices=8)
    assert found["loader_images_per_second"] == pytest.approx(8 * 1000 / 50)
    assert found["loader_busy"] == pytest.approx(0.5, rel=1e-3)
    assert ImageSpeed().read(1) == {}


def test_the_line_says_what_may_help():
    """More threads where there are processors for them; OpenCV where it crops."""
    processors = count_processors()
    crop = DataRecipe(augment="random_resized_crop", workers=processors)
    line = speed_of(processors, 0.98).describe_limit(crop, 1, 1)
    assert line.startswith("images are what training waits for: they come at ")
    assert line.endswith("98% of the time (data.image_backend: opencv)")
    by_opencv = crop.model_copy(update={"image_backend": "opencv"})
    assert speed_of(processors, 0.98).describe_limit(by_opencv, 1, 1).endswith("98% of the time")
    many = crop.model_copy(update={"workers": 64})
    assert "(more processors, or " in speed_of(processors, 0.98).describe_limit(many, 1, 1)
    if processors > 1:
        few = DataRecipe(workers=1)
        assert "(more data.workers (" in speed_of(1, 0.98).describe_limit(few, 1, 1)


@pytest.mark.parametrize("files", [True, False])
def test_a_loader_tells_how_long_its_images_took(tmp_path, files):
    """Each image that was handed on, and of the remainder that is dropped the time alone."""
    source = photographs(tmp_path, 20) if files else noise(20, 8)
    times = LoaderTimes()
    how = {"training": True, "batch_size": 8, "seed": 0, "workers": 2, "times": times}
    list(load_batches(source, indices=np.arange(20), preprocess=raw((8, 8)), **how))
    assert times.images == 20
    assert times.threads == (min(2, count_processors()) if files else 1)
    assert 0 < times.seconds < 60
    assert times.images_per_second == 20 * times.threads / times.seconds
