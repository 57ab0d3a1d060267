"""What a number of devices, or a batch of the user's own, changes in a recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from archspec.errors import Place, TrainingError, format_count
from archspec.spec.load import is_overridden
from archspec.spec.override import Override
from archspec.train.recipe.recipe import Recipe


@dataclass(frozen=True)
class Scaling:
    """What a number of devices changes in a recipe,
    and the line that says so ('' where there is nothing to say).
    """

    overrides: tuple[Override, ...]
    note: str


def scale_recipe(recipe: Recipe, devices: int) -> Scaling:
    """Return how the recipe keeps its global batch on so many devices, or scales its learning rate.

    The global batch is that of an update: of `accumulate` batches on each device.
    What the user gave, `--batch-size` or `--lr`, stays as it is;
    a batch of the user's own scales the rate.

    Raises:
        TrainingError: T010, the devices cannot share the global batch equally.
    """
    whole = recipe.global_batch
    keeps_global_batch = recipe.scaling == "keep_global_batch"
    if whole is not None and keeps_global_batch and not is_overridden(recipe, ("batch_size",)):
        return _keep_global_batch(recipe, whole, devices)
    shares = _describe_shares(recipe, devices, recipe.batch_size)
    if whole is None:
        rate = f"learning rate {recipe.schedule.learning_rate:g}"
        stays = f"{shares}; recipe {recipe.name} names no global_batch: {rate}"
        return Scaling((), stays if devices > 1 else "")
    if whole == devices * recipe.accumulate * recipe.batch_size:
        return Scaling((), f"{shares}, as the recipe has it" if devices > 1 else "")
    return _scale_rate(recipe, whole, devices)


def _describe_shares(recipe: Recipe, devices: int, batch_size: int) -> str:
    factors = [format_count(devices, "device")]
    if recipe.accumulate > 1:
        factors.append(f"{recipe.accumulate:,} batches")
    factors.append(format_count(batch_size, "image"))
    whole = devices * recipe.accumulate * batch_size
    return f"global batch {whole:,} = {' x '.join(factors)}"


def _keep_global_batch(recipe: Recipe, whole: int, devices: int) -> Scaling:
    share, rest = divmod(whole, devices * recipe.accumulate)
    place = recipe.place(("global_batch",))
    if rest:
        _refuse_shares(recipe, whole, devices)
    if share == recipe.batch_size:
        shares = _describe_shares(recipe, devices, share)
        return Scaling((), f"{shares}, as the recipe has it" if devices > 1 else "")
    rate = f"{recipe.schedule.learning_rate:g}"
    shares = _describe_shares(recipe, devices, share)
    note = f"{shares}: kept, so the learning rate stays {rate}"
    return Scaling((Override(("batch_size", share), Place(place, "found")),), note)


def _refuse_shares(recipe: Recipe, whole: int, devices: int) -> NoReturn:
    fitting = [n for n in range(1, devices) if whole % (n * recipe.accumulate) == 0]
    cure = "--batch-size N, which scales the learning rate"
    if fitting:
        cure = f"--devices {fitting[-1]}, or {cure}"
    sharers = [format_count(devices, "device")] * (devices > 1)
    sharers += [f"{recipe.accumulate:,} batches"] * (recipe.accumulate > 1)
    rule = f"global_batch (={whole}) must be a multiple of the {' x '.join(sharers)} that share it"
    raise TrainingError.one("T010", rule, recipe.place(("global_batch",)), cure)


def _scale_rate(recipe: Recipe, whole: int, devices: int) -> Scaling:
    actual, schedule = devices * recipe.accumulate * recipe.batch_size, recipe.schedule
    rate_place = recipe.place(("schedule", "learning_rate"))
    place = Place(f"{rate_place} x {actual} / {whole}", "found")
    told = f"{_describe_shares(recipe, devices, recipe.batch_size)} instead of {whole:,}"
    if is_overridden(recipe, ("schedule", "learning_rate")):
        changed: dict[str, float] = {}
        note = f"{told}; learning rate {schedule.learning_rate:g} as given, not scaled"
    else:
        rates = {"learning_rate": schedule.learning_rate}
        if schedule.has_final:
            rates["final"] = schedule.final
        changed = {f"schedule.{key}": rate * actual / whole for key, rate in rates.items()}
        after = changed["schedule.learning_rate"]
        note = f"{told}: learning rate scaled linearly, {schedule.learning_rate:g} -> {after:g}"
    # The rate is now that of the actual batch: a recipe that is saved so and read again must not be
    # scaled twice.
    settings = {"global_batch": actual, **changed}
    return Scaling(tuple(Override((key, value), place) for key, value in settings.items()), note)


def describe_norms(recipe: Recipe, devices: int, *, has_batch_norm: bool) -> str:
    """Return the line that says over which images batch norms take their statistics; '' where
    there is nothing to say.
    """
    is_synchronised, own = recipe.sync_batch_norm, recipe.batch_size
    if is_synchronised and not has_batch_norm:
        return "sync_batch_norm does nothing: the network has no batch norm"
    if is_synchronised and devices == 1:
        return "sync_batch_norm does nothing on one device"
    if devices == 1 or not has_batch_norm:
        return ""
    if is_synchronised:
        return f"batch norm: statistics of the {own * devices:,} images of all devices"
    return f"batch norm: statistics of the {format_count(own, 'image')} of each device"


def count_steps(recipe: Recipe, images: int, devices: int) -> int:
    """Return how many batches of an epoch each device trains: those that fill whole updates."""
    batches = images // devices // recipe.batch_size
    return batches - batches % recipe.accumulate
