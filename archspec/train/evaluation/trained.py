"""A trained network: a run directory, one of its checkpoints, or a spec with a checkpoint."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypedDict

import numpy as np
import numpy.typing as npt

from archspec.errors import DataError, ModelFileError, Place, SpecError
from archspec.runtime import prepare
from archspec.spec.catalogue import hint_at_nearest, shipped
from archspec.spec.load import is_overridden, load_spec
from archspec.spec.override import Override, Setting
from archspec.spec.spec import Spec
from archspec.train.data.batches import Batch, Skipped, load_batches
from archspec.train.data.datasets import open_data, open_held_out
from archspec.train.data.inputs import (
    can_stand_in,
    check_classes,
    check_stand_in,
    find_data_change,
    make_preprocess,
    name_by_recipe,
    open_splits,
    read_data_digest,
    split_by_recipe,
)
from archspec.train.data.kinds import identify_data
from archspec.train.data.mask_classes import check_has_classes, label_masks, note_missing_classes
from archspec.train.data.source import Source
from archspec.train.distributed.worker_group import choose_device, get_rank, get_world_size
from archspec.train.recipe.choice import RECIPES
from archspec.train.recipe.recipe import Recipe, load_recipe
from archspec.train.run.recovery import find_best
from archspec.train.run.run_directory import SPEC, WRITTEN_FILES, Run, open_run
from archspec.train.trainable_output import tells_pixels
from archspec.weights.convert import convert_file
from archspec.weights.formats.number_types import Floats
from archspec.weights.load_into import load_tensors
from archspec.weights.pairing.classifier_weights import find_classifier

DeviceTarget = Literal["CPU", "Ascend"]

INPUT_SIZE = ("input.height", "input.width")
"""What may be set of a run's network: its weights do not depend on it."""


class HowToOpen(TypedDict, total=False):
    """What `open_trained` can be told."""

    ckpt: Path | None
    recipe: str | None
    overrides: Sequence[Setting | Override]
    recipe_overrides: Sequence[Override]
    data_dir: Path | None
    ema: bool
    device_target: DeviceTarget | None


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
        """Return what gives the network's logits sooner, to within rounding: norms are folded into
        convolutions where it computes on a CPU, and what is compiled is kept for the next time.

        Raises:
            ModelFileError: see `convert_file`.
            EnvironmentFault: E004, the device cannot be used.
        """
        self._prepare()
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
        prepare()
        import mindspore as ms

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

    def held_out(self, data_dir: Path | None) -> Source:
        """Return the images to validate with:
        of `data_dir`, else the run's own, else the digits for a grey network.

        Raises:
            DataError: D..., or D009 where the data's classes are not the checkpoint's.
        """
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
        once and in order; see `load_batches`.
        """
        return load_batches(
            source,
            indices=np.arange(len(source)) if indices is None else indices,
            preprocess=make_preprocess(self.spec, self.recipe),
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


def open_trained(
    target: str,
    *,
    ckpt: Path | None = None,
    recipe: str | None = None,
    overrides: Sequence[Setting | Override] = (),
    recipe_overrides: Sequence[Override] = (),
    data_dir: Path | None = None,
    ema: bool = False,
    device_target: DeviceTarget | None = None,
) -> Trained:
    """Return the trained network of a run directory, of a checkpoint in one, or of a spec with a
    checkpoint.

    Without a recipe, a run has its own; for a checkpoint the kind of data decides how images are
    prepared, and without data a grey network is taken for one of digits. With `ema` it is that of
    the checkpoint's moving averages of weights.

    Raises:
        ArchspecError: S..., T004; R001..R003 and others of `convert_file`; R004, a spec without a
            checkpoint, or a checkpoint without a spec.
    """
    if target.endswith(".ckpt"):
        if ckpt is not None:
            message = f"is a checkpoint, and --ckpt {ckpt} another one"
            raise ModelFileError.one("R004", message, target, "name one of them")
        run_path, ckpt = _locate_in_run(Path(os.path.expanduser(target)))
        target = str(run_path)
    if os.path.isdir(target):  # pathlib's own raises for a name that is too long
        run = open_run(Path(target))
        spec = _resize_input(run, overrides)
        chosen = load_recipe(recipe or run.path / "recipe.yaml", recipe_overrides)
        trained = Trained(spec, chosen, ckpt or find_best(run), run.settings.classes, run)
        if ckpt is not None or ema:
            found = convert_file(trained.checkpoint, spec, ema=ema)
            trained = replace(trained, tensors=found.tensors, notes=found.adaptations)
    else:
        trained = _open_spec(target, ckpt, recipe, overrides, recipe_overrides, data_dir, ema)
    return replace(trained, device_target=device_target, ema=ema)


def _locate_in_run(file: Path) -> tuple[Path, Path]:
    """Return the run of a checkpoint, and where in it the file lies: people leave out
    `checkpoints`, the folder that a run has for them.
    """
    folder = file.parent
    if not file.exists() and (folder / "checkpoints" / file.name).exists():
        file = folder / "checkpoints" / file.name
    for run_path in (folder, folder.parent):
        if all((run_path / name).is_file() for name in WRITTEN_FILES):
            return run_path, file
    if not file.exists():
        raise ModelFileError.one("R001", "there is no such checkpoint", str(file))
    message = "is a checkpoint that lies in no run directory, so its network is not known"
    cure = f"name the spec, and --ckpt {shlex.quote(str(file))}"
    raise ModelFileError.one("R004", message, str(file), cure)


def _resize_input(run: Run, overrides: Sequence[Setting | Override]) -> Spec:
    """Return a run's spec, with another size of images where that is asked for."""
    for given in overrides:
        setting = given.setting if isinstance(given, Override) else given
        key = setting[0] if isinstance(setting, tuple) else setting.partition("=")[0].strip()
        if key not in INPUT_SIZE:
            words = given.place if isinstance(given, Override) else f"--set {setting}"
            message = f"{words}: a run's network is fixed"
            raise SpecError.one("S011", message, str(run.path), "leave --set out")
    return load_spec(run.path / SPEC, overrides) if overrides else run.spec


def _open_spec(
    target: str,
    ckpt: Path | None,
    recipe: str | None,
    overrides: Sequence[Setting | Override],
    recipe_overrides: Sequence[Override],
    data_dir: Path | None,
    ema: bool,
) -> Trained:
    if target not in shipped() and not os.path.exists(os.path.expanduser(target)):
        message = f"there is no {target[:60]!r}, neither a run directory nor a spec"
        hint = hint_at_nearest(Path(target).stem) or "densenet list names the shipped specs"
        raise SpecError.one("S010", message, "", hint)
    spec = load_spec(target, overrides, Recipe)
    if ckpt is None:
        cure = "--ckpt FILE or --pretrained, or name a run"
        raise ModelFileError.one("R004", f"{target} is a spec; it needs weights", "", cure)
    any_classes = not is_overridden(spec, ("head", "num_classes"))
    found = convert_file(ckpt, spec, any_classes=any_classes, ema=ema)
    # All but the classifier must fit, so the file may have been trained for other classes.
    classes = _count_classes(spec, found.tensors)
    if classes and classes != spec.head.num_classes:
        found_classes = Override(("head.num_classes", classes), Place(str(ckpt), "found"))
        spec = load_spec(target, [*overrides, found_classes])
    chosen = load_recipe(recipe or _choose_recipe(spec, data_dir), recipe_overrides)
    return Trained(spec, chosen, ckpt, tensors=found.tensors, notes=found.adaptations)


def _count_classes(spec: Spec, tensors: Mapping[str, Floats]) -> int:
    classifier = find_classifier(spec)
    return 0 if classifier is None else tensors[classifier[0]].shape[0]


def _choose_recipe(spec: Spec, data_dir: Path | None) -> str:
    if data_dir:
        return RECIPES[identify_data(data_dir)].from_scratch
    return RECIPES["digits" if can_stand_in(spec, grey=True) else "folder"].from_scratch


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


def opened(target: Trained | Run | Path | str, how: HowToOpen) -> Trained:
    """Return a trained network that is open already, or open it as is told."""
    if not isinstance(target, Trained):
        return open_trained(str(target.path if isinstance(target, Run) else target), **how)
    others = how.keys() - {"data_dir"}
    if others:
        raise TypeError(f"{', '.join(sorted(others))}: say it to open_trained")
    return target
