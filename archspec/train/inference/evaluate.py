"""How good is a trained network, and what does it take for what?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from archspec.errors import ModelFileError
from archspec.train.data.sources.source import Source
from archspec.train.evaluation.evaluation import Evaluation
from archspec.train.faults.hangs import HANG_AFTER
from archspec.train.inference.on_devices import examine_on_devices
from archspec.train.inference.open_trained import HowToOpen, opened
from archspec.train.run.run_directory import Run
from archspec.train.trained.judging import Show, judge_images
from archspec.train.trained.trained import Trained


def evaluate(
    target: Trained | Run | Path | str,
    data: Source | Path | str | None = None,
    *,
    batch_size: int = 64,
    **how: Unpack[HowToOpen],
) -> Any:
    """Return top-1, top-5 and loss over every image once, as `Accuracy`; where an image may have
    several labels, a `LabelAccuracy`.

    `examine` takes the same arguments, and tells more.

    Raises:
        ArchspecError: as `examine` does.
    """
    return examine(target, data, batch_size=batch_size, **how).figures


def examine(
    target: Trained | Run | Path | str,
    data: Source | Path | str | None = None,
    *,
    batch_size: int = 64,
    devices: int = 1,
    show: Show | None = None,
    hang_after: float = HANG_AFTER,
    **how: Unpack[HowToOpen],
) -> Evaluation:
    """Return what can be found out about a network over every image once: figures, those of each
    class, what is taken for what, how sure it is, its surest mistakes.

    Args:
        target: a run, a checkpoint in one, or with `ckpt` a spec; see `open_trained`.
        data: a data set, or its folder; where absent, what the run held out, or the digits for a
            grey network.
        batch_size: images per step; changes no figure.
        devices: processes of this machine that share the images; they open a folder themselves.
        show: is called after each step with the number of images that are done, and of all, where
            this process does them.
        hang_after: seconds of standing still after which one of several processes hangs; 0: never.
        how: other arguments of `open_trained`, such as `ckpt` and `ema`.

    Raises:
        ArchspecError: see `open_trained`, `Trained.held_out` and `Trained.judge`; D..., an image
            cannot be read; T006, the network gives what is no number.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size (={batch_size}) must be 1 or more")
    if isinstance(data, str):
        data = Path(data)
    if isinstance(data, Path):
        how = {"data_dir": data, **how}  # by which a recipe is chosen for a spec
    trained = opened(target, how)
    if devices > 1:
        if trained.exported is not None:
            rule = "is run by an engine in one process, on all cores: leave out --devices or mpirun"
            raise ModelFileError.one("R004", rule, str(trained.checkpoint))
        if isinstance(data, Source):
            raise TypeError("several devices open the data themselves: name their folder")
        return examine_on_devices(
            trained, data, devices=devices, batch_size=batch_size, hang_after=hang_after
        )
    source = data if isinstance(data, Source) else trained.held_out(data)
    return judge_images(trained, source, batch_size=batch_size, show=show)
