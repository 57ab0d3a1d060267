"""densenet train."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from archspec.errors import ArchspecError, EnvironmentFault
from archspec.runtime import exit_at_once, raise_for_signal, take_signals, watch_interrupts
from archspec.spec.catalogue import DEFAULT_SPEC
from densenet_cli.options import (
    Certify,
    DataDir,
    Overrides,
    Pretrained,
    SpecName,
    console,
    override_by_flag,
    quiet_screen,
    split_overrides,
)
from densenet_cli.weights import weights_for

Text = str | None
NO_CURE = {"T006", "T016", "T017", "T018"}
"""Faults that a run, whose spec and recipe are fixed, meets again when it goes on,
or that say themselves how it can."""


def train(
    context: typer.Context,
    spec: SpecName = DEFAULT_SPEC,
    data_dir: DataDir = None,
    recipe: Annotated[
        Text, typer.Option(help="A shipped recipe or a YAML file (default: by the data).")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images per device and step.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate at the start.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of initial values, order and augmentation.")
    ] = None,
    num_classes: Annotated[
        int | None, typer.Option(help="Default: as many as the data has.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Height and width; default: the spec's.")
    ] = None,
    devices: Annotated[int, typer.Option(min=1, help="Processes that train together.")] = 1,
    device_target: Annotated[
        Literal["CPU", "Ascend"], typer.Option(help="The kind of device.")
    ] = "CPU",
    out: Annotated[
        Path | None, typer.Option(help="Run directory (default: runs/NAME-DATE-TIME).")
    ] = None,
    init_from: Annotated[
        Path | None, typer.Option(help="Begin with the weights of a .ckpt, .safetensors or .pth.")
    ] = None,
    pretrained: Pretrained = False,
    resume: Annotated[Path | None, typer.Option(help="Go on with an interrupted run.")] = None,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="With --resume: take edited files as they are.")
    ] = False,
    certify: Certify = True,
    overrides: Overrides = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be run, and stop.")
    ] = False,
) -> None:
    """Train a network; without arguments, a small one on the embedded handwritten digits.

    Example: densenet train densenet121 --data-dir photos --devices 2 --epochs 30
    """
    # Before MindSpore is imported, which starts threads and takes signals itself.
    watch_interrupts()
    take_signals(exit_at_once)
    from archspec.certify.built_network import summarize_certificate
    from archspec.train.inference import relocate
    from archspec.train.plan import create, plan_run
    from archspec.train.run_directory import open_run

    if resume is not None:
        _refuse_others(context)
        run, splits = open_run(resume), None
        if data_dir is not None:
            run, splits = relocate(run, data_dir)
        if accept_changes:
            run = _accept_changes(run, splits, certify)
        _train(run, splits, is_new=False)
        return
    if accept_changes:
        raise typer.BadParameter("goes with --resume alone", param_hint="--accept-changes")
    for_spec, for_recipe = split_overrides(overrides)
    for_spec += override_by_flag("--image-size", image_size, "input.height", "input.width")
    for_spec += override_by_flag("--num-classes", num_classes, "head.num_classes")
    for_recipe += [
        *override_by_flag("--epochs", epochs, "epochs"),
        *override_by_flag("--batch-size", batch_size, "batch_size"),
    ]
    for_recipe += [
        *override_by_flag("--lr", lr, "schedule.learning_rate"),
        *override_by_flag("--seed", seed, "seed"),
    ]
    initial = weights_for(spec, init_from, pretrained, for_spec, dry_run=dry_run)
    plan = plan_run(
        spec,
        data_dir=data_dir,
        recipe_name=recipe,
        spec_overrides=for_spec,
        recipe_overrides=for_recipe,
        initial=initial,
        device_target=device_target,
        devices=devices,
    )
    if dry_run:
        _show_launch(plan, out)
        return
    console.out(
        f"{plan.spec.name} with recipe {plan.recipe.name} on {plan.settings.data_kind}: "
        f"{plan.spec.head.num_classes} classes, "
        f"images {plan.spec.input.height} x {plan.spec.input.width}"
    )
    for note in plan.notes:
        console.out(note)
    with console.status("certifying what MindSpore compiles, once for each network"):
        run = create(plan, out, certify=certify)
    if certify:
        console.out(summarize_certificate(json.loads(run.certificate.read_text("utf-8"))))
    _train(run, plan.splits, is_new=True)


def _show_launch(plan: Any, out: Path | None) -> None:
    from archspec.train.distributed.msrun import write_shell_line
    from archspec.train.plan import launch_command
    from archspec.train.run_directory import check_is_free, name_default_path

    chosen = out or name_default_path(plan.spec)
    check_is_free(chosen)
    path = chosen.resolve()
    if plan.settings.devices == 1:
        console.out("(in this process)")
        return
    console.out(write_shell_line(launch_command(path, plan.settings)))
    typer.echo(
        "Nothing was started or written. "
        f"The line above needs the run directory {shlex.quote(str(path))}, which only a real start "
        "makes: without --dry-run it is made, the line is run, and its processes are watched.",
        err=True,
    )


def _refuse_others(context: typer.Context) -> None:
    """A run is resumed as it was started; a flag that changed nothing would mislead.

    Its data may have moved, and its files been edited.
    """
    given = []
    for option in context.command.params:
        if str(context.get_parameter_source(option.name)).endswith("COMMANDLINE"):
            given.append(option)
    allowed = {"resume", "data_dir", "accept_changes"}
    if any(option.name == "accept_changes" for option in given):
        allowed.add("certify")
    others = [option.opts[0] for option in given if option.name not in allowed]
    if others:
        rule = f"a run goes on as it was started: leave out {', '.join(others)}"
        raise typer.BadParameter(rule, param_hint="--resume")


def _accept_changes(run: Any, splits: Any, certify: bool) -> Any:
    from archspec.certify.built_network import summarize_certificate
    from archspec.train.acceptance import accept_changes

    with quiet_screen(run.log) as screen, screen.status("certifying what MindSpore compiles"):
        accepted = accept_changes(run, splits, certify=certify)
    console.out("the run goes on with spec.yaml and recipe.yaml as they are now")
    if certify:
        console.out(summarize_certificate(json.loads(accepted.certificate.read_text("utf-8"))))
    return accepted


def _train(run: Any, splits: Any, *, is_new: bool) -> None:
    from archspec.train.plan import train as train_run
    from archspec.train.progress import Display

    path = shlex.quote(str(run.path))
    take_signals(raise_for_signal)
    try:
        with quiet_screen(run.log) as screen, Display(screen) as display:
            last = train_run(run, display.show, splits)
    except (KeyboardInterrupt, SystemExit) as stop:  # see `runtime.exception_of`
        console.out(f"\nInterrupted. Go on with: densenet train --resume {path}")
        raise typer.Exit(int(stop.code or 0) if isinstance(stop, SystemExit) else 130) from None
    except ArchspecError as error:
        _help_after_fault(run, error, is_new)
        raise
    part = "validation images"
    if last["part"] == "test":
        part = "images that played no part in training or choosing"
    share = f"{last['top1']:.2%} of {last['images']} {part}"
    console.out(f"{_name_judged(last['checkpoint'])} is right on {share}. Run: {run.path}")
    console.out(f"Next: densenet validate {path}")


def _name_judged(checkpoint: str | None) -> str:
    if checkpoint == "best.ckpt":
        return "The best checkpoint"
    if checkpoint is None:
        return "No checkpoint is left whole. The network as it was trained"
    return f"best.ckpt is gone or damaged. {checkpoint}"


def _help_after_fault(run: Any, error: ArchspecError, is_new: bool) -> None:
    """Say how to go on where that can succeed;
    a run that the machine did not let begin leaves nothing.
    """
    from archspec.train.run_directory import discard_run

    codes = {diagnostic.code for diagnostic in error.diagnostics}
    has_begun = not is_new or (run.metrics.exists() and run.metrics.stat().st_size > 0)
    if not has_begun and (isinstance(error, EnvironmentFault) or "T002" in codes):
        discard_run(run)
    elif not NO_CURE & codes:
        command = f"densenet train --resume {shlex.quote(str(run.path))}"
        typer.echo(f"Stopped. After mending what follows, go on with: {command}", err=True)
