"""A run whose data set lies elsewhere than it did."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from archspec.errors import DataError, TrainingError
from archspec.train.data.datasets import open_data
from archspec.train.data.inputs import check_classes, find_data_change, split_by_recipe
from archspec.train.data.sources.data_parts import Splits
from archspec.train.run.run_directory import Run, write_settings
from archspec.train.run.run_lock import lock_run


def relocate(run: Run, data_dir: Path) -> tuple[Run, Splits]:
    """Write down where the run's data set lies now, and return the run and the data set.

    Raises:
        DataError: D001..D008; D009, what lies there is not the run's data set.
        TrainingError: T002, run.json cannot be written; T017, another process trains there.
    """
    splits = open_moved(run, data_dir)
    settings = replace(run.settings, data_dir=str(data_dir.resolve()))
    with lock_run(run):
        try:
            write_settings(run, settings)
        except OSError as error:
            message = f"cannot be written: {error.strerror}"
            raise TrainingError.one("T002", message, str(run.path)) from None
    return Run(run.path), splits


def open_moved(run: Run, data_dir: Path) -> Splits:
    """Return the run's data set from where it lies now; nothing is written.

    Raises:
        DataError: D001..D008; D009, what lies there is not the run's data set.
    """
    known = run.settings.classes
    data = open_data(data_dir, on_error=run.recipe.data.on_error, known=known)
    splits = split_by_recipe(run.recipe, data, known)
    check_classes(splits.train, known)
    changed = find_data_change(run, splits)
    if changed:
        hint = "the folder must hold the same files as before; other data need a run of their own"
        message = f"is not the data set that the run began with: {changed}"
        raise DataError.one("D009", message, str(data_dir), hint)
    return splits
