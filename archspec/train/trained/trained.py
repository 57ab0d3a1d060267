"""A trained network: what it is, what it computes, and the images that it is judged by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from archspec.errors import DataError, TrainingError
from archspec.runtime import import_mindspore
from archspec.spec.spec import Spec
from archspec.train.data.batches.batches import Batch, Skipped, load_batches
from archspec.train.data.batches.raw_images import load_raw_images
from archspec.train.data.datasets import open_data, open_held_out
from archspec.train.data.inputs import (
    check_classes,
    check_stand_in,
    find_data_change,
    make_preprocess,
    name_by_recipe,
    open_splits,
    read_data_digest,
    split_by_recipe,
)
from archspec.train.data.sources.mask_classes import (
    check_has_classes,
    label_masks,
    note_missing_classes,
)
from archspec.train.data.sources.source import Source
from archspec.train.distributed.worker_group import choose_device, get_rank, get_world_size
from archspec.train.recipe.recipe import Recipe
from archspec.train.run.run_directory import Run
from archspec.train.trainable_output import tells_pixels
from archspec.weights.convert import convert_file
from archspec.weights.formats.number_types import Floats
from archspec.weights.load_into import load_tensors

DeviceTarget = Literal["CPU", "Ascend"]


class LastOutput:
    """A network, of which the last output counts alone: the head's."""

    def __init__(self, network: Any) -> None:
        self.network = network

    def __call__(self, images: Any) -> Any:
        """Return logits (N, classes, ...)."""
        return self.network(images)[-1]

    def set_train(self, mode: bool) -> LastOutput:
        """Set the network's mode."""
        self.network.set_train(mode)
        return self


@dataclass(frozen=True)
class Trained:
    """What is needed to use a trained network;
    `classes` is empty where only a checkpoint is known.
    """

    spec: Spec
    recipe: Recipe
    checkpoint: Path
    classes: tuple[str, ...] = ()
    run: Run | None = None
    tensors: Mapping[str, Floats] | None = None
    """The checkpoint's, where it was read already."""
    notes: tuple[str, ...] = ()
    """Which weights of the checkpoint these are, and how they were made to fit."""
    device_target: DeviceTarget | None = None
    """What it computes on; None leaves that to MindSpore."""
    ema: bool = False
    """Whether its weights are the checkpoint's moving averages."""
    exported: Any = None
    """What an engine runs, where an exported file stands for the checkpoint."""

    def network(self) -> Any:
        """Return the network with its weights, in evaluation mode.

        Raises:
            ModelFileError: see `convert_file`.
            EnvironmentFault: E004, the device cannot be used.
        """
        self._prepare()
        from archspec.writers.mindspore.create_model import create_model

        network = create_model(self.spec)
        load_tensors(network, self.read_tensors())
        return network.set_train(False)

    def judge(self) -> Any:
        """Return what gives the network's logits, and none of the maps that it gives beside them;
        see `folded`.

        Raises:
            TrainingError: T014, it has no head.
            ModelFileError: see `convert_file`.
            EnvironmentFault: E004, the device cannot be used.
        """
        self._check_has_head()
        network = self.folded()
        return LastOutput(network) if self.spec.features else network

    def _check_has_head(self) -> None:
        if not self.spec.head.steps_resolved():
            rule = "gives feature maps, and no classes: it has no head"
            cure = "predict --features writes them"
            raise TrainingError.one("T014", rule, str(self.checkpoint), cure)

    def folded(self) -> Any:
        """Return what computes the network sooner, to within rounding: norms are folded into
        convolutions where it computes on a CPU, and what is compiled is kept for the next time.

        Raises:
            ModelFileError: see `convert_file`.
            EnvironmentFault: E004, the device cannot be used.
        """
        self._prepare()
        if self.exported is not None:
            return self.exported
        import mindspore as ms

        from archspec.train.engine.compile_cache import CachedNetwork, make_cache
        from archspec.train.engine.folded_network import make_folded_network

        network = make_folded_network(self.spec, self.read_tensors())
        compiled = make_cache(
            self.spec,
            self.recipe,
            device_target=ms.get_context("device_target"),
            rank=get_rank(),
            world=get_world_size(),
        )
        return CachedNetwork(network, compiled, "evaluation")

    def _prepare(self) -> None:
        ms = import_mindspore()
        if self.device_target is not None:
            choose_device(self.device_target)
        ms.set_context(mode=ms.GRAPH_MODE)

    def read_tensors(self) -> Mapping[str, Floats]:
        """Return its weights by the names that `create_model` gives them.

        Raises:
            ModelFileError: see `convert_file`.
        """
        return self.tensors or convert_file(self.checkpoint, self.spec, ema=self.ema).tensors

    @property
    def tells_pixels(self) -> bool:
        """Whether the network tells the class of each pixel, rather than of the image."""
        return tells_pixels(self.spec)

    @property
    def reads_images(self) -> bool:
        """Whether it prepares images itself, as some exported files do."""
        return self.exported is not None and bool(self.exported.reads_images)

    def held_out(self, data_dir: Path | None) -> Source:
        """Return the images to validate with:
        of `data_dir`, else the run's own, else the digits for a grey network.

        Raises:
            DataError: D..., or D009 where the data's classes are not the checkpoint's.
            TrainingError: T014, the network has no head, so there is nothing to validate.
        """
        self._check_has_head()
        if self.run is None:
            source = _open_held_out_of_others(self.spec, self.recipe, data_dir)
        else:
            source = _open_held_out_of_run(self.run, self.recipe, data_dir)
        if source.masks:  # a recipe that judges may say other values than the run's
            known = self.classes or tuple(map(str, range(self.spec.head.num_classes)))
            [source] = label_masks([source], self.recipe.data, known)
            check_has_classes(source)
            missing = note_missing_classes(source, "judge by")
            source = replace(source, notes=(*source.notes, *missing))
        _check_classes(self, source)
        return source

    def batches(
        self,
        source: Source,
        batch_size: int,
        indices: npt.NDArray[np.int64] | None = None,
        skipped: Skipped | None = None,
    ) -> Iterator[Batch]:
        """Return the images of a source, or those with these numbers, as the network reads them,
        once and in order; see `load_batches`, and `load_raw_images`, which has one at once.
        """
        preprocess = make_preprocess(self.spec, self.recipe)
        indices = np.arange(len(source)) if indices is None else indices
        if self.reads_images:
            return load_raw_images(source, indices, preprocess, skipped)
        return load_batches(
            source,
            indices=indices,
            preprocess=preprocess,
            training=False,
            batch_size=batch_size,
            seed=0,
            workers=self.recipe.data.workers,
            skipped=skipped,
        )


def _open_held_out_of_run(run: Run, recipe: Recipe, data_dir: Path | None) -> Source:
    """The run's data set gives what the run held out, wherever it lies; any other one all that it
    has to judge by. What becomes of broken images, the recipe says that judges.
    """
    known, on_error = run.settings.classes, recipe.data.on_error
    splits = open_splits(run, on_error=on_error) if data_dir is None else None
    if data_dir is not None and read_data_digest(run) is not None:
        with suppress(DataError):  # of training images; those to judge by are looked at below
            data = open_data(data_dir, on_error=on_error, known=known)
            moved = split_by_recipe(run.recipe, data, known)
            splits = None if find_data_change(run, moved) else moved
    if splits is None:
        found = open_held_out(data_dir, on_error=on_error, known=known)
        return name_by_recipe(run.recipe, found)
    return splits.test or splits.val


def _open_held_out_of_others(spec: Spec, recipe: Recipe, data_dir: Path | None) -> Source:
    if data_dir is None:
        check_stand_in(spec, grey=True)
    return name_by_recipe(recipe, open_held_out(data_dir, on_error=recipe.data.on_error))


def _check_classes(trained: Trained, source: Source) -> None:
    if trained.classes:
        check_classes(source, trained.classes)
        return
    count = trained.spec.head.num_classes
    if len(source.classes) != count:
        noun = "1 class" if len(source.classes) == 1 else f"{len(source.classes):,} classes"
        raise DataError.one(
            "D009", f"has {noun}; the checkpoint tells {count:,} apart", source.name
        )
