"""A run that goes on with another number of devices than it was begun with."""

from __future__ import annotations

from typing import NoReturn

from archspec.errors import Place, TrainingError, format_count
from archspec.machine.processes import require_processes
from archspec.spec.override import Override
from archspec.train.recipe.recipe import Recipe, load_recipe
from archspec.train.run.changes import refuse_changes
from archspec.train.run.run_directory import Run, change_recipe
from archspec.train.run.run_lock import lock_run

NAMED = 6
"""Numbers of devices that a refusal names."""


def change_devices(run: Run, devices: int, place: Place) -> tuple[Run, str]:
    """Give a run another number of devices; return it, and the line that says what that does.

    The batch of all devices together stays, and with it the rate, the steps of an epoch, and which
    images each of them sees: `batch_size` becomes an equal share of it.

    Args:
        run: its recipe and its settings are written anew, all else stays.
        devices: of each machine, that train it from now on.
        place: where the number was said.

    Raises:
        SpecError: S004, a share that is too large for a batch.
        TrainingError: T010, they cannot share the batch; T002, the files cannot be written; T016,
            the recipe was edited since the run began; T017, another process trains there.
        EnvironmentFault: E004, there are fewer devices here.
    """
    recipe, line = plan_devices(run, devices, place)
    if devices == run.settings.devices:
        return run, line
    require_processes(devices, run.settings.device_target)
    with lock_run(run):
        return change_recipe(run, recipe, devices=devices), line


def plan_devices(run: Run, devices: int, place: Place) -> tuple[Recipe, str]:
    """Return what `change_devices` would write as the recipe, and say; nothing is written.

    The line is '' where it is the number that the run has.

    Raises:
        SpecError: S004, see `change_devices`.
        TrainingError: T010, they cannot share the batch; T016, the recipe was edited.
    """
    refuse_changes(run)
    recipe, before, world = run.recipe, run.settings.world, devices * run.settings.nodes
    if world == before:
        return recipe, ""
    share, rest = divmod(recipe.batch_size * before, world)
    if rest or share < _least_share(recipe):
        _refuse(run, devices, place)
    recipe = load_recipe(run.path / "recipe.yaml", [Override(("batch_size", share), place)])
    return recipe, describe_change(before, world, share)


def describe_change(before: int, devices: int, batch_size: int) -> str:
    """Return the line that tells of another number of devices."""
    goes_on = f"goes on with {format_count(devices, 'device')} instead of {before}"
    return f"{goes_on}, batch {batch_size:,} a device"


def _least_share(recipe: Recipe) -> int:
    return 2 if recipe.data.is_mixed else 1


def _refuse(run: Run, devices: int, place: Place) -> NoReturn:
    recipe, before, nodes = run.recipe, run.settings.world, run.settings.nodes
    images, least = recipe.batch_size * before, _least_share(recipe)
    numbers = range(1, images // (least * nodes) + 1)
    fitting = [number for number in numbers if images % (number * nodes) == 0]
    nearest = sorted(fitting, key=lambda number: abs(number - devices))[:NAMED]
    *others, last = sorted(nearest)
    named = f"{', '.join(map(str, others))} or {last}" if others else f"{last}"
    whole = f"{images:,} images, {format_count(before, 'device')} x {recipe.batch_size:,}"
    equally = "equally" if least == 1 else f"equally, {least} images or more each, to be mixed"
    rule = f"devices (={devices}) must share the run's batch {equally}: {whole}"
    raise TrainingError.one("T010", rule, place, f"--devices {named}")
