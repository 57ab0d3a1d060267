"""What `densenet train --dry-run` prints: of a run to be, and of one that goes on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from archspec.shell_words import quote_word
from densenet_cli.options import console, place_typed
from densenet_cli.this_machine import show_nodes, start_alone


def show_plan(plan: Any, out: Path | None, node: Any = None) -> None:
    """Show what a new run would be; of several processes, on standard output only the line that
    starts them, to be copied or run.
    """
    from archspec.train.distributed.msrun import write_shell_line
    from archspec.train.launch import launch_command
    from archspec.train.monitoring.preview import describe_plan
    from archspec.train.run.run_directory import check_is_free, name_default_path

    chosen = out or name_default_path(plan.spec)
    check_is_free(chosen)
    path = chosen.resolve()
    lines = describe_plan(plan, path)
    if plan.settings.world == 1:
        console.out("\n".join((*lines, "Nothing was started or written.")))
        return
    if node is not None:
        show_nodes(node, path, plan.settings)
        typer.echo("\n".join((*lines, "Nothing was started or written.")), err=True)
        return
    console.out(write_shell_line(launch_command(path, plan.settings)))
    needs = (
        "Nothing was started or written. "
        f"The line above needs the run directory {quote_word(str(path))}, which only a real start "
        f"makes:\n{start_alone(plan.settings.devices)}\n"
        "makes it, runs the line, and watches its processes."
    )
    typer.echo("\n".join((*lines, needs)), err=True)


def show_resumption(
    path: Path, data_dir: Path | None, epochs: int | None, devices: int, node: Any = None
) -> None:
    """Show how far a run is and what is left of it; of several processes, on standard output only
    the line that starts them.
    """
    from archspec.train.data.inputs import open_splits
    from archspec.train.distributed.msrun import write_shell_line
    from archspec.train.distributed.nodes import check_nodes
    from archspec.train.launch import launch_command
    from archspec.train.monitoring.preview import describe_resumption
    from archspec.train.run.changes import refuse_changes
    from archspec.train.run.devices import plan_devices
    from archspec.train.run.extend import plan_epochs
    from archspec.train.run.relocation import open_moved
    from archspec.train.run.run_directory import open_run

    run, lines = open_run(path), []
    check_nodes(run.settings.nodes, node)
    refuse_changes(run)
    recipe = run.recipe
    if epochs is not None:
        recipe, line = plan_epochs(run, epochs, place_typed(f"--epochs {epochs}"))
        lines.append(line)
    settings = replace(run.settings, devices=devices)
    if devices != run.settings.devices:
        shared, line = plan_devices(run, devices, place_typed(f"--devices {devices}"))
        recipe = recipe.model_copy(update={"batch_size": shared.batch_size})
        lines.append(f"{line}: a real start writes that into the run first")
    splits = open_splits(run) if data_dir is None else open_moved(run, data_dir)
    lines += describe_resumption(run, splits, recipe, settings.world)
    lines.append("Nothing was started or written.")
    is_alone = settings.world == 1
    if node is not None:
        show_nodes(node, run.path, settings)
    elif not is_alone:
        console.out(write_shell_line(launch_command(run.path, settings)))
        lines.append(
            f"{start_alone(settings.devices)}\nruns the line above, and watches its processes."
        )
    typer.echo("\n".join(lines), err=not is_alone)
