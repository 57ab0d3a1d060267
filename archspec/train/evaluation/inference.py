"""A trained network: a run directory, or a spec with a checkpoint; validated, asked, exported."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from archspec.errors import DataError, ModelFileError, Place, SpecError, TrainingError
from archspec.runtime import prepare
from archspec.spec.catalogue import hint_at_nearest, shipped
from archspec.spec.load import Override, Setting, is_overridden, load_spec
from archspec.spec.model import Spec
from archspec.train.data.batches import load_batches
from archspec.train.data.datasets import identify_data, open_data, open_held_out
from archspec.train.data.inputs import (
    can_stand_in,
    check_classes,
    check_stand_in,
    find_data_change,
    make_preprocess,
    open_splits,
    read_data_digest,
    split_by_recipe,
)
from archspec.train.data.source import Source, Splits
from archspec.train.evaluation.accuracy import check_finite
from archspec.train.evaluation.measures import Figures, measure_accuracy
from archspec.train.recipe.choice import RECIPES
from archspec.train.recipe.model import Recipe, load_recipe
from archspec.train.run.recovery import find_best
from archspec.train.run.run_directory import Run, open_run, write_settings
from archspec.train.run.run_lock import lock_run
from archspec.weights.convert import convert_file
from archspec.weights.formats.number_types import Floats
from archspec.weights.load_into import load_tensors

CLASSIFIER = "classifier.weight"


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

    def network(self) -> Any:
        """Return the network with its weights, in evaluation mode.

        Raises ModelFileError, see `convert`.
        """
        prepare()
        import mindspore as ms

        from archspec.writers.mindspore.load import create_model

        ms.set_context(mode=ms.GRAPH_MODE)
        tensors = self.tensors or convert_file(self.checkpoint, self.spec).tensors
        network = create_model(self.spec)
        load_tensors(network, tensors)
        return network.set_train(False)

    def held_out(self, data_dir: Path | None) -> Source:
        """Return the images to validate with:
        of `data_dir`, else the run's own, else the digits for a grey network.

        Raises:
            DataError: D..., or D009 where the data's classes are not the checkpoint's.
        """
        if self.run is None:
            source = _open_held_out_of_others(self.spec, data_dir)
        else:
            source = _open_held_out_of_run(self.run, data_dir)
        _check_classes(self, source)
        return source


def _open_held_out_of_run(run: Run, data_dir: Path | None) -> Source:
    """The run's data set gives what the run held out, wherever it lies;
    any other one all that it has to judge by.
    """
    splits = open_splits(run) if data_dir is None else None
    if data_dir is not None and read_data_digest(run) is not None:
        with suppress(DataError):  # of training images; those to judge by are looked at below
            moved = split_by_recipe(run.recipe, open_data(data_dir))
            splits = None if find_data_change(run, moved) else moved
    return open_held_out(data_dir) if splits is None else splits.test or splits.val


def _open_held_out_of_others(spec: Spec, data_dir: Path | None) -> Source:
    if data_dir is None:
        check_stand_in(spec, grey=True)
    return open_held_out(data_dir)


def open_trained(
    target: str,
    *,
    ckpt: Path | None = None,
    recipe: str | None = None,
    overrides: Sequence[Setting | Override] = (),
    recipe_overrides: Sequence[Override] = (),
    data_dir: Path | None = None,
    ema: bool = False,
) -> Trained:
    """Return the trained network of a run directory, or of a spec with a checkpoint.

    Without a recipe, a run has its own; for a checkpoint the kind of data decides how images are
    prepared, and without data a grey network is taken for one of digits. With `ema` it is that of
    the checkpoint's moving averages of weights.

    Raises:
        ArchspecError: S..., T004; R001..R003 and others of `convert_file`; R004, a spec without a
            checkpoint.
    """
    if os.path.isdir(target):  # pathlib's own raises for a name that is too long
        run = open_run(Path(target))
        if overrides:
            message = f"--set {overrides[0]}: a run's network is fixed"
            raise SpecError.one("S011", message, target, "leave --set out")
        chosen = load_recipe(recipe or run.path / "recipe.yaml", recipe_overrides)
        trained = Trained(run.spec, chosen, ckpt or find_best(run), run.settings.classes, run)
        if ckpt is None and not ema:
            return trained
        found = convert_file(trained.checkpoint, run.spec, ema=ema)
        return replace(trained, tensors=found.tensors, notes=found.adaptations)
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
    classes = _classes_of(found.tensors)
    if classes and classes != spec.head.num_classes:
        found_classes = Override(("head.num_classes", classes), Place(str(ckpt), "found"))
        spec = load_spec(target, [*overrides, found_classes])
    chosen = load_recipe(recipe or _choose_recipe(spec, data_dir), recipe_overrides)
    return Trained(spec, chosen, ckpt, tensors=found.tensors, notes=found.adaptations)


def _classes_of(tensors: Mapping[str, Floats]) -> int:
    return tensors[CLASSIFIER].shape[0] if CLASSIFIER in tensors else 0


def _choose_recipe(spec: Spec, data_dir: Path | None) -> str:
    if data_dir:
        return RECIPES[identify_data(data_dir)].from_scratch
    return RECIPES["digits" if can_stand_in(spec, grey=True) else "folder"].from_scratch


def relocate(run: Run, data_dir: Path) -> tuple[Run, Splits]:
    """Write down where the run's data set lies now, and return the run and the data set.

    Raises:
        DataError: D001..D008; D009, what lies there is not the run's data set.
        TrainingError: T002, run.json cannot be written; T017, another process trains there.
    """
    splits = split_by_recipe(run.recipe, open_data(data_dir))
    check_classes(splits.train, run.settings.classes)
    changed = find_data_change(run, splits)
    if changed:
        hint = "the folder must hold the same files as before; other data need a run of their own"
        message = f"is not the data set that the run began with: {changed}"
        raise DataError.one("D009", message, str(data_dir), hint)
    settings = replace(run.settings, data_dir=str(data_dir.resolve()))
    with lock_run(run):
        try:
            write_settings(run, settings)
        except OSError as error:
            message = f"cannot be written: {error.strerror}"
            raise TrainingError.one("T002", message, str(run.path)) from None
    return Run(run.path), splits


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


def top_guesses(logits: npt.NDArray[np.float32], count: int = 5) -> list[list[tuple[int, float]]]:
    """Return for each row of logits (N, classes) the classes
    with the highest probability, best first.
    """
    # Less the row's largest: exp of large logits would overflow.
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = shifted / shifted.sum(axis=1, keepdims=True)
    order = np.argsort(-shares, axis=1, kind="stable")[:, :count]
    guesses = []
    for row, best in zip(shares, order, strict=True):
        guesses.append([(int(index), float(row[index])) for index in best])
    return guesses


def evaluate(
    target: Trained | Run | Path | str,
    data: Source | Path | str | None = None,
    *,
    batch_size: int = 64,
    **how: Any,
) -> Figures:
    """Return top-1, top-5 and loss over every image once.

    Args:
        target: a run, or with `ckpt` a spec; see `open_trained`.
        data: a data set, or its folder; where absent, what the run held out, or the digits for a
            grey network.
        batch_size: images per step; changes no figure.
        how: other arguments of `open_trained`, such as `ckpt` and `ema`.

    Raises:
        ArchspecError: see `open_trained`, `Trained.held_out` and `Trained.network`.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size (={batch_size}) must be 1 or more")
    if isinstance(data, str):
        data = Path(data)
    if isinstance(data, Path):
        how = {"data_dir": data, **how}  # by which a recipe is chosen for a spec
    trained = _opened(target, how)
    source = data if isinstance(data, Source) else trained.held_out(data)
    batches = _iterate_batches(trained, source, min(batch_size, len(source)))
    return measure_accuracy(trained.network(), batches)


def predict(
    target: Trained | Run | Path | str, images: Sequence[Path | str] | Path | str, **how: Any
) -> list[list[tuple[str, float]]]:
    """Return for each image file its five likeliest classes with their probabilities.

    Args:
        target: a run, or with `ckpt` a spec; see `open_trained`.
        images: files, JPEG, PNG, BMP or WebP; or one.
        how: other arguments of `open_trained`, such as `ckpt` and `ema`.

    Raises:
        DataError: every file that is no image.
        ArchspecError: see `open_trained` and `Trained.network`.
    """
    trained = _opened(target, how)
    files = [images] if isinstance(images, str | Path) else images
    if not files:
        return []
    known, count = trained.classes, trained.spec.head.num_classes
    names = (*known, *(f"class {number}" for number in range(len(known), count)))
    source = Source("images", names, np.zeros(len(files), np.int32), files=tuple(map(Path, files)))
    network = trained.network()
    from mindspore import Tensor

    batch_size = min(32, len(source))
    logits = []
    for batch, _ in _iterate_batches(trained, source, batch_size):
        logits.append(network(Tensor(batch)).asnumpy())
    # The last batch was filled up with images that nobody asked of.
    asked = check_finite(np.concatenate(logits)[: len(source)])
    named = []
    for best in top_guesses(asked):
        named.append([(names[index], share) for index, share in best])
    return named


def _opened(target: Trained | Run | Path | str, how: Mapping[str, Any]) -> Trained:
    if isinstance(target, Trained):
        others = how.keys() - {"data_dir"}
        if others:
            raise TypeError(f"{', '.join(sorted(others))}: say it to open_trained")
        return target
    return open_trained(str(target.path if isinstance(target, Run) else target), **how)


def _iterate_batches(
    trained: Trained, source: Source, batch_size: int
) -> Iterator[tuple[Any, Any]]:
    return load_batches(
        source,
        indices=np.arange(len(source)),
        preprocess=make_preprocess(trained.spec, trained.recipe),
        training=False,
        batch_size=batch_size,
        seed=0,
        workers=trained.recipe.data.workers,
    )
