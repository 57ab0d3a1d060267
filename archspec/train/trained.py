"""A trained network: a run directory, or a spec with a checkpoint; validated, asked, exported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from archspec.errors import DataError, ModelFileError, SpecError
from archspec.runtime import prepare
from archspec.spec.load import load_spec
from archspec.spec.model import Spec
from archspec.train import checkpoint
from archspec.train.data import batches
from archspec.train.evaluate import Accuracy, evaluate, finite
from archspec.train.fit import check_classes, preprocess_of
from archspec.train.recipe import RECIPES, Recipe, load_recipe
from archspec.train.run import Run, open_run
from archspec.train.sources import Source, kind_of, open_held_out, open_splits

CLASSIFIER = "classifier.weight"


@dataclass(frozen=True)
class Trained:
    """What is needed to use a trained network; `classes` is empty where only a checkpoint is known."""

    spec: Spec
    recipe: Recipe
    checkpoint: Path
    classes: tuple[str, ...] = ()
    run: Run | None = None

    def network(self) -> Any:
        """Return the network with its weights, in evaluation mode. Raises ModelFileError (R001..R003)."""
        prepare()
        import mindspore as ms

        from archspec.writers.load import create_model

        ms.set_context(mode=ms.GRAPH_MODE)
        network = create_model(self.spec)
        checkpoint.restore(self.checkpoint, network.get_parameters())
        return network.set_train(False)

    def held_out(self, data_dir: Path | None) -> Source:
        """Return the images to validate with: of `data_dir`, else the run's own.

        Raises:
            DataError: D..., or D009 where the data's classes are not the checkpoint's.
        """
        source = self._own_held_out() if data_dir is None else open_held_out(data_dir)
        _check_classes(self, source)
        return source

    def _own_held_out(self) -> Source:
        if self.run is None:
            raise DataError.one("D009", "there is no data to validate with", str(self.checkpoint), "--data-dir DIR")
        settings, recipe = self.run.settings, self.recipe
        data_dir = Path(settings.data_dir) if settings.data_dir else None
        splits = open_splits(data_dir, val_fraction=recipe.data.val_fraction, seed=recipe.seed)
        return splits.test or splits.val


def open_trained(
    target: str,
    *,
    ckpt: Path | None = None,
    recipe: str | None = None,
    overrides: Sequence[str] = (),
    data_dir: Path | None = None,
) -> Trained:
    """Return the trained network of a run directory, or of a spec with a checkpoint.

    Without a recipe, a run has its own; for a checkpoint the kind of data decides how images are prepared.

    Raises:
        ArchspecError: S..., T004, R001, R002; R004, a spec without a checkpoint.
    """
    if Path(target).is_dir():
        run = open_run(Path(target))
        if overrides:
            raise SpecError.one("S011", f"--set {overrides[0]}: a run's network is fixed", target, "leave --set out")
        chosen = load_recipe(recipe) if recipe else run.recipe
        return Trained(run.spec, chosen, ckpt or run.best, run.settings.classes, run)
    if ckpt is None:
        load_spec(target, overrides)
        raise ModelFileError.one("R004", f"{target} is a spec; it needs weights", "", "--ckpt FILE, or name a run")
    return Trained(
        load_spec(target, [*overrides, *_classes_of(ckpt, overrides)]),
        load_recipe(recipe or RECIPES[kind_of(data_dir) if data_dir else "folder"]),
        ckpt,
    )


def _classes_of(ckpt: Path, overrides: Sequence[str]) -> list[str]:
    """The checkpoint knows how many classes it tells apart, unless the user says it."""
    if any(text.startswith("head.num_classes=") for text in overrides):
        return []
    prepare()
    weight = checkpoint.read(ckpt).get(CLASSIFIER)
    return [] if weight is None else [f"head.num_classes={weight.shape[0]}"]


def _check_classes(trained: Trained, source: Source) -> None:
    if trained.classes:
        check_classes(source, trained.classes)
        return
    count = trained.spec.head.num_classes
    if len(source.classes) != count:
        raise DataError.one(
            "D009", f"has {len(source.classes)} classes; the checkpoint tells {count} apart", source.name
        )


def top_guesses(logits: npt.NDArray[np.float32], count: int = 5) -> list[list[tuple[int, float]]]:
    """Return for each row of logits (N, classes) the classes with the highest probability, best first."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = shifted / shifted.sum(axis=1, keepdims=True)
    order = np.argsort(-shares, axis=1, kind="stable")[:, :count]
    return [[(int(i), float(row[i])) for i in best] for row, best in zip(shares, order, strict=True)]


def validate_trained(trained: Trained, source: Source, batch_size: int) -> Accuracy:
    """Return top-1, top-5 and loss over every image once. Raises DataError, ModelFileError."""
    return evaluate(trained.network(), _batches(trained, source, min(batch_size, len(source))))


def predict_images(trained: Trained, images: Sequence[Path]) -> list[list[tuple[str, float]]]:
    """Return for each image its five likeliest classes with their probabilities.

    Raises:
        DataError: every file that is no image.
    """
    known, count = trained.classes, trained.spec.head.num_classes
    names = (*known, *(f"class {number}" for number in range(len(known), count)))
    source = Source("images", names, np.zeros(len(images), np.int32), files=tuple(images))
    network = trained.network()
    from mindspore import Tensor

    logits = [network(Tensor(batch)).asnumpy() for batch, _ in _batches(trained, source, min(32, len(source)))]
    return [
        [(names[index], share) for index, share in best]
        for best in top_guesses(finite(np.concatenate(logits)[: len(source)]))
    ]


def _batches(trained: Trained, source: Source, batch_size: int) -> Iterator[tuple[Any, Any]]:
    return batches(
        source,
        indices=np.arange(len(source)),
        preprocess=preprocess_of(trained.spec, trained.recipe),
        training=False,
        batch_size=batch_size,
        seed=0,
        workers=trained.recipe.data.workers,
    )
