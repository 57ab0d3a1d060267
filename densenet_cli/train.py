"""densenet train."""

from __future__ import annotations

import shlex
import signal
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from archspec.errors import ArchspecError
from archspec.spec.catalogue import DEFAULT_SPEC
from densenet_cli.options import DataDir, Overrides, console, quiet_screen, split_overrides

Text = str | None


def train(
    context: typer.Context,
    spec: Annotated[str, typer.Argument(help="A shipped spec or a YAML file.")] = DEFAULT_SPEC,
    data_dir: DataDir = None,
    recipe: Annotated[Text, typer.Option(help="A shipped recipe or a YAML file (default: by the data).")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per device and step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate at the start.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of initial values, order and augmentation.")] = None,
    num_classes: Annotated[int | None, typer.Option(help="Default: as many as the data has.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Height and width; default: the spec's.")] = None,
    devices: Annotated[int, typer.Option(min=1, help="Processes that train together.")] = 1,
    device_target: Annotated[Literal["CPU", "Ascend"], typer.Option(help="The kind of device.")] = "CPU",
    out: Annotated[Path | None, typer.Option(help="Run directory (default: runs/NAME-DATE-TIME).")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with an interrupted run.")] = None,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be run, and stop.")] = False,
) -> None:
    """Train a network; without arguments, a small one on the embedded handwritten digits.

    Example: densenet train densenet121 --data-dir photos --devices 2 --epochs 30
    """
    from archspec.train.run import default_path, open_run
    from archspec.train.start import create, launch_command, plan_run

    if resume is not None:
        _refuse_others(context)
        _train(open_run(resume))
        return
    for_spec, for_recipe = split_overrides(overrides)
    for key, value in (("input.height", image_size), ("input.width", image_size)):
        for_spec += [f"{key}={value}"] if value is not None else []
    flags = {"epochs": epochs, "batch_size": batch_size, "schedule.learning_rate": lr, "seed": seed}
    for_recipe += [f"{key}={value}" for key, value in flags.items() if value is not None]
    plan = plan_run(
        spec,
        data_dir=data_dir,
        recipe_name=recipe,
        spec_overrides=for_spec,
        recipe_overrides=for_recipe,
        num_classes=num_classes,
        device_target=device_target,
        devices=devices,
    )
    if dry_run:
        path = out or default_path(plan.spec)
        command = launch_command(path.resolve(), plan.settings) if devices > 1 else ["(in this process)"]
        typer.echo(shlex.join(command) if devices > 1 else command[0])
        return
    console.print(
        f"{plan.spec.name} with recipe {plan.recipe.name} on {plan.settings.data_kind}: "
        f"{plan.spec.head.num_classes} classes, images {plan.spec.input.height} x {plan.spec.input.width}"
    )
    _train(create(plan, out))


def _refuse_others(context: typer.Context) -> None:
    """A run is resumed as it was started; a flag that changed nothing would mislead."""
    given = [p for p in context.command.params if str(context.get_parameter_source(p.name)).endswith("COMMANDLINE")]
    others = [option.opts[0] for option in given if option.name != "resume"]
    if others:
        rule = f"a run goes on as it was started: leave out {', '.join(others)}"
        raise typer.BadParameter(rule, param_hint="--resume")


def _train(run: Any) -> None:
    from archspec.train.progress import Display
    from archspec.train.start import train as train_run

    signal.signal(signal.SIGTERM, _interrupted)
    try:
        with quiet_screen(run.log) as screen, Display(screen) as display:
            end = train_run(run, display.show)
    except KeyboardInterrupt:
        console.print(f"\nInterrupted. Go on with: densenet train --resume {run.path}")
        raise typer.Exit(130) from None
    except SystemExit:  # what SIGTERM and SIGHUP become where there are several processes
        console.print(f"\nStopped. Go on with: densenet train --resume {run.path}")
        raise
    except ArchspecError:
        console.print(f"Stopped. After mending it, go on with: densenet train --resume {run.path}")
        raise
    part = "images that played no part in training or choosing" if end["part"] == "test" else "validation images"
    console.print(
        f"The best checkpoint is right on {end['top1']:.2%} of {end['images']} {part}. Run: {run.path}\n"
        f"Next: densenet validate {run.path}"
    )


def _interrupted(number: int, frame: object) -> None:
    raise KeyboardInterrupt
