"""What an exported file has to pass before it is there: it is read back as the spec, and gives what
MindSpore gives.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from archspec.certify.certificate import Certificate
from archspec.certify.certify_file import certify_file
from archspec.errors import ArchspecError, Diagnostic
from archspec.train.data.sources.source import Source
from archspec.train.export.export_precision import (
    TOLERANCES,
    Loss,
    engine_for,
    measure_loss,
    title_of,
)
from archspec.train.export.export_preprocess import make_random_photos
from archspec.train.export.onnx_form import OnnxForm, Precision
from archspec.train.trained.engines import load_network
from archspec.train.trained.trained import Trained

IMAGES, OF_SMALLER = 8, 32
"""How many are compared; and of smaller numbers, where classes are counted."""

_CURES: Mapping[Precision, str] = {
    "float16": "--precision bfloat16 holds larger numbers",
    "int8": "more --calibration-images, or others with --calibrate: like those that it will see",
}
"""Where outputs are too far off."""

Values = npt.NDArray[np.float32]


class Sample(NamedTuple):
    """Images to compare on."""

    images: Values
    """As the network reads them, (N, C, H, W)."""
    source: str
    """Which they are."""
    photos: Source
    """Such images as they are, before anything becomes of them."""
    held_out: Source | None
    """All that the network is judged by; None: these are random."""


@dataclass(frozen=True)
class Check:
    """What a network is held to."""

    trained: Trained
    file: Path
    """Where it is to stand."""
    precision: Precision
    """What the file will be in, which says what runs it."""
    is_optimized: bool = False
    """It may be written with less than the spec; see `certify_file`."""
    sample: Sample | None = None
    """None: nothing is run."""
    network: Any = None
    """What MindSpore runs."""
    wanted: Sequence[Values] = ()
    """What that gives for the sample."""

    def run(self, draft: Path, precision: Precision) -> tuple[Certificate, Loss | None]:
        """Return what is known of a draft in this precision, and how far it is from MindSpore.

        Raises:
            ArchspecError: W005, it is another network, or gives something else.
        """
        spec, tensors = self.trained.spec, None
        if precision == "int8":  # of others running them tells enough
            tensors = self.trained.read_tensors()
        certificate = certify_file(draft, spec, optimized=self.is_optimized, tensors=tensors)
        self._refuse([difference.message for difference in certificate.differences])
        if self.sample is None:
            return certificate, None
        engine = engine_for(self.precision)
        loss = measure_loss(load_network(draft, engine).compute(self.sample.images), self.wanted)
        if not loss.distance <= TOLERANCES[precision]:
            in_smaller = "" if precision == "float32" else f" in {precision}"
            reason = f"{title_of(engine)} gives other outputs{in_smaller}, {loss.distance:.1e} off"
            self._refuse([reason], _CURES.get(precision, ""))
        return certificate, loss

    def _refuse(self, reasons: Sequence[str], cure: str = "") -> None:
        faults = []
        for reason in reasons:
            faults.append(Diagnostic("W005", f"is not written: {reason}", str(self.file), cure))
        if faults:
            raise ArchspecError(faults)


def prepare_check(trained: Trained, file: Path, form: OnnxForm, sample: Sample | None) -> Check:
    """Return what a network is held to: what MindSpore gives for a sample, where there is one."""
    check = Check(trained, file, form.precision, form.optimize != "none")
    if sample is None:
        return check
    network = trained.network()
    wanted = _compute(network, sample.images, form.batch or IMAGES)
    return replace(check, sample=sample, network=network, wanted=wanted)


def choose_sample(
    trained: Trained, data_dir: Path | None, precision: Precision, batch: int | None
) -> Sample:
    """Return held-out images, or random ones where there are none.

    Raises:
        ArchspecError: the data set that is named cannot be used.
    """
    count = batch or (IMAGES if precision == "float32" else OF_SMALLER)
    try:
        source = trained.held_out(data_dir)
    except ArchspecError:
        if data_dir is not None:
            raise
        return _draw_sample(trained, count)
    count = min(count, len(source))
    # From all of them: a folder has one class behind another.
    photos = source.subset(np.linspace(0, len(source) - 1, count).astype(int))
    images = np.concatenate([images for images, _ in islice(trained.batches(photos, count), 1)])
    if batch:  # a fixed one may be larger than the data set
        images = np.resize(images, (batch, *images.shape[1:]))
    return Sample(images, f"{count} of {source.name}", photos, source)


def _draw_sample(trained: Trained, count: int) -> Sample:
    size = trained.spec.input
    shape = (count, size.channels, size.height, size.width)
    images = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    photos = make_random_photos(trained, count)
    return Sample(images, f"{count} random images (--data-dir names real ones)", photos, None)


def _compute(network: Any, images: Values, at_once: int) -> list[Values]:
    """All that MindSpore gives for images (N, C, H, W)."""
    import mindspore as ms

    made: list[list[Values]] = []
    for start in range(0, len(images), at_once):
        given = network(ms.Tensor(images[start : start + at_once]))
        outputs = given if isinstance(given, tuple) else (given,)
        made.append([each.asnumpy() for each in outputs])
    return [np.concatenate(parts) for parts in zip(*made, strict=True)]
