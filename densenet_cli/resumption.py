"""`densenet train --resume`: what may be said beside it, and how a run goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from densenet_cli.device_ids import count_device_ids, refuse_number
from densenet_cli.faults import choose_policy
from densenet_cli.options import console, place_typed, quiet_screen
from densenet_cli.profile import refuse_to_profile_several
from densenet_cli.run_on_screen import train_on_screen

if TYPE_CHECKING:
    from archspec.train.distributed.nodes import Node

GOES_WITH_RESUME = {
    *("resume", "data_dir", "epochs", "accept_changes", "profile", "dry_run"),
    *("devices", "device_ids", "restarts", "hang_after"),
    *("nodes", "node_rank", "master", "node_wait", "hostfile", "ssh", "ssh_setup"),
}
"""Flags that may change when a run goes on; any other that changed nothing would mislead."""


def refuse_others(context: typer.Context) -> set[str]:
    """Return which flags are given with --resume, and refuse others than these: a run is resumed
    as it was started; its data may have moved, its files been edited, and it may go on for longer,
    or on other devices.
    """
    if context.params["resume"] is None:
        return set()
    given = []
    for option in context.command.params:
        if str(context.get_parameter_source(option.name)).endswith("COMMANDLINE"):
            given.append(option)
    allowed = GOES_WITH_RESUME
    names = {option.name for option in given}
    if "accept_changes" in names:
        allowed = {*allowed, "certify"}
    if {"dry_run", "accept_changes"} <= names:
        rule = "checks and certifies what was edited, and writes that: leave out --dry-run"
        raise typer.BadParameter(rule, param_hint="--accept-changes")
    others = [option.opts[0] for option in given if option.name not in allowed]
    if others:
        rule = f"a run goes on as it was started: leave out {', '.join(others)}"
        raise typer.BadParameter(rule, param_hint="--resume")
    return {str(name) for name in names}


def choose_devices_of_run(path: Path, device_ids: str | None, devices: int | None) -> int:
    """Return how many devices of a machine train the run from now on: as many as are named, or are
    said, or as it has.
    """
    from archspec.train.run.run_directory import open_run

    settings = open_run(path).settings
    if device_ids is None:
        return settings.devices if devices is None else devices
    found = count_device_ids(device_ids, devices or 1, settings.device_target)
    if found != (devices or found):
        refuse_number(device_ids, found, f"--devices says {devices}")
    return found


def resume_run(
    path: Path,
    data_dir: Path | None,
    epochs: int | None,
    devices: int,
    profile: bool,
    watch: tuple[int, float | None],
    *,
    accepts: bool,
    certify: bool,
    node: Node | None = None,
) -> None:
    """Go on with a run, where its data moved, its files were edited, for other epochs, or on
    another number of devices; `watch` are its restarts, and after how long a process hangs.
    """
    from archspec.train.distributed.nodes import check_nodes
    from archspec.train.run.devices import change_devices, plan_devices
    from archspec.train.run.extend import change_epochs
    from archspec.train.run.relocation import relocate
    from archspec.train.run.run_directory import open_run

    run, splits = open_run(path), None
    check_nodes(run.settings.nodes, node)
    if profile:
        refuse_to_profile_several(devices * run.settings.nodes)
    faults = choose_policy(*watch, devices, run.settings.nodes)
    at = place_typed(f"--devices {devices}")
    if not accepts:  # before anything is written: what is refused changes nothing
        plan_devices(run, devices, at)
    if data_dir is not None:
        run, splits = relocate(run, data_dir)
    if accepts:
        run = _accept_changes(run, splits, certify)
    if epochs is not None:
        run, line = change_epochs(run, epochs, place_typed(f"--epochs {epochs}"))
        console.out(line)
    if devices != run.settings.devices:  # what that does stands among the run's own notes
        run, _ = change_devices(run, devices, at)
    train_on_screen(run, splits, profile, is_new=False, faults=faults, node=node)


def _accept_changes(run: Any, splits: Any, certify: bool) -> Any:
    from archspec.certify.built_network import summarize_certificate
    from archspec.train.run.acceptance import accept_changes

    with quiet_screen(run.log) as screen, screen.status("certifying what MindSpore compiles"):
        accepted = accept_changes(run, splits, certify=certify)
    console.out("the run goes on with spec.yaml and recipe.yaml as they are now")
    if certify:
        console.out(summarize_certificate(json.loads(accepted.certificate.read_text("utf-8"))))
    return accepted
