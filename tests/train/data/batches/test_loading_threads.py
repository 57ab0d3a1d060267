"""Threads that fill batches: they end when nobody takes any more, and hand on what goes wrong."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from batches_of_images import photographs, raw

from archspec.train.data.batches.batches import load_batches
from archspec.train.data.batches.loading_threads import (
    AHEAD,
    TURN_SECONDS,
    LoaderTimes,
    fill_batches,
)
from archspec.train.data.batches.samples import Samples


def batches_of(source, **options):
    how = {"training": True, "batch_size": 4, "seed": 0, "workers": 2, **options}
    return load_batches(source, indices=np.arange(len(source)), preprocess=raw((16, 16)), **how)


@pytest.mark.parametrize("taken", [1, 3, 10])
def test_no_thread_is_left_when_an_epoch_ends_or_is_left(tmp_path, taken):
    """After its last batch, or in the middle."""
    before = {*threading.enumerate()}
    batches = batches_of(photographs(tmp_path, 40))
    for _ in range(taken):
        next(batches)
    if taken < 10:
        assert {*threading.enumerate()} - before
    else:
        assert next(batches, None) is None
    del batches
    assert not {*threading.enumerate()} - before


def test_threads_take_short_turns_while_batches_are_made_and_not_after(tmp_path):
    """Python's own turn is long beside an image."""
    usual = sys.getswitchinterval()
    batches = batches_of(photographs(tmp_path, 12))
    next(batches)
    assert sys.getswitchinterval() == pytest.approx(TURN_SECONDS)
    del batches
    assert sys.getswitchinterval() == usual


class Counting(Samples):
    """Fails at one sample, and notes which were asked for."""

    def fill(self, sample, place, batch):
        self.seen.append(sample)
        if sample == self.fails_at:
            raise ZeroDivisionError
        super().fill(sample, place, batch)


def counting(source, fails_at=None):
    samples = Counting(source, raw((16, 16)), training=True, seed=0, skipped=None)
    samples.seen, samples.fails_at = [], fails_at
    return samples


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_no_more_is_filled_ahead_than_is_said(tmp_path, threads):
    """Memory is that of a few batches, however long an epoch is."""
    samples = counting(photographs(tmp_path, 40))
    batches = fill_batches(samples, np.arange(40), 4, threads, LoaderTimes())
    next(batches)
    next(batches)
    assert set(samples.seen) <= set(range(4 * (2 + AHEAD)))
    batches.close()


@pytest.mark.parametrize("threads", [1, 2])
def test_what_goes_wrong_in_a_thread_is_raised_where_its_batch_is_taken(tmp_path, threads):
    """A bug of ours is no batch that never comes."""
    samples = counting(photographs(tmp_path, 40), fails_at=9)
    batches = fill_batches(samples, np.arange(40), 4, threads, LoaderTimes())
    next(batches)
    next(batches)
    with pytest.raises(ZeroDivisionError):
        next(batches)


def test_a_process_is_interrupted_at_once(tmp_path):
    """Though hundreds of large images were to come; nothing is waited for but those in hand."""
    from PIL import Image

    file = tmp_path / "large.jpg"
    Image.effect_noise((2000, 1500), 60).convert("RGB").save(file)
    program = f"""
import os, signal
from pathlib import Path
import numpy as np
from archspec.train.data.batches.batches import load_batches
from archspec.train.data.images.preprocess import Preprocess
from archspec.train.data.sources.source import Source
signal.signal(signal.SIGINT, signal.default_int_handler)
source = Source("x", ("a",), np.zeros(400, np.int32), files=(Path({str(file)!r}),) * 400)
preprocess = Preprocess((16, 16), 3, (0.0,) * 3, (1.0,) * 3)
batches = load_batches(source, indices=np.arange(400), preprocess=preprocess, training=True,
                       batch_size=100, seed=0, workers=2)
signal.setitimer(signal.ITIMER_REAL, 0.2)
signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
next(batches)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "KeyboardInterrupt" in done.stderr.splitlines()[-1]
