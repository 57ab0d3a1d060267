"""densenet train."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from archspec.errors import ArchspecError, EnvironmentFault, format_count
from archspec.signals import exit_at_once, raise_for_signal, take_signals, watch_interrupts
from archspec.spec.catalogue import DEFAULT_SPEC
from archspec.spec.override import Override
from densenet_cli.device_ids import DeviceIds, count_device_ids
from densenet_cli.dry_run import show_plan, show_resumption
from densenet_cli.flags import RECIPE_FLAGS, SPEC_FLAGS, override_by_flags
from densenet_cli.options import (
    Certify,
    DataDir,
    Overrides,
    Pretrained,
    SpecName,
    complete_recipe,
    console,
    place_typed,
    quiet_screen,
    split_overrides,
)
from densenet_cli.profile import show_profile
from densenet_cli.weights import weights_for

Text = str | None
Number = int | None
NO_CURE = {"T006", "T016", "T017", "T018"}
"""Faults that a run, whose spec and recipe are fixed, meets again when it goes on,
or that say themselves how it can."""
ENDS = {
    "early_stopping": "Ended early: for as long as early_stopping says, no epoch was better.",
    "time_budget": "Ended early: time_budget is over. With a larger one in the run's recipe.yaml, "
    "--resume RUN --accept-changes goes on at this step.",
    "on_request": "Ended early, as was asked for; --resume RUN goes on at this step.",
}
"""Why a run ended before its last epoch, and how it could go on."""
GOES_WITH_RESUME = {
    *("resume", "data_dir", "epochs", "accept_changes", "device_ids", "profile", "dry_run")
}
"""Flags that may change when a run goes on; any other that changed nothing would mislead."""


def train(
    context: typer.Context,
    spec: SpecName = DEFAULT_SPEC,
    data_dir: DataDir = None,
    recipe: Annotated[
        Text,
        typer.Option(
            help="A shipped recipe or a YAML file (default: by weights, device and data).",
            autocompletion=complete_recipe,
        ),
    ] = None,
    epochs: Annotated[Number, typer.Option(help="Passes over the training images.")] = None,
    batch_size: Annotated[
        Number, typer.Option("--batch-size", "-b", help="Images per device and step.")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate at the start.")] = None,
    opt: Annotated[Text, typer.Option(help="The optimizer's kind, such as adamw.")] = None,
    seed: Annotated[Number, typer.Option(help="Of initial values, order and augmentation.")] = None,
    num_classes: Annotated[Number, typer.Option(help="Default: as many as the data has.")] = None,
    image_size: Annotated[
        Number, typer.Option(help="Height and width; default: the spec's.")
    ] = None,
    amp: Annotated[Text, typer.Option(help="Half precision: O0 (none), O2 or O3.")] = None,
    ema: Annotated[
        float | None,
        typer.Option(help="Average the weights, by this decay (0.9999 if none is given)."),
    ] = None,
    freeze: Annotated[
        Text, typer.Option(help='Parts that learn nothing: "stem, blocks 1-2".')
    ] = None,
    freeze_until: Annotated[
        Text, typer.Option(help='All up to and with this part: "block 2", "stem".')
    ] = None,
    workers: Annotated[Number, typer.Option(help="Processes that read images.")] = None,
    log_every: Annotated[Number, typer.Option(help="Steps between two lines of metrics.")] = None,
    save_every: Annotated[
        Text, typer.Option(help="Time or steps between checkpoints: 10m, 500.")
    ] = None,
    devices: Annotated[int, typer.Option(min=1, help="Processes that train together.")] = 1,
    device_ids: DeviceIds = None,
    device_target: Annotated[
        Literal["CPU", "Ascend"], typer.Option(help="The kind of device.")
    ] = "CPU",
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Run directory (default: runs/NAME-DATE-TIME)."),
    ] = None,
    init_from: Annotated[
        Path | None, typer.Option(help="Begin with the weights of a .ckpt, .safetensors or .pth.")
    ] = None,
    pretrained: Pretrained = False,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with a run, with --epochs for so many in all.")
    ] = None,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="With --resume: take edited files as they are.")
    ] = False,
    profile: Annotated[
        bool, typer.Option("--profile", help="Show which operators take a step's time.")
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
    if resume is not None:
        _refuse_others(context)
        if device_ids is not None:
            _choose_devices_of_run(resume, device_ids)
        if dry_run:
            show_resumption(resume, data_dir, epochs)
        else:
            _resume(resume, data_dir, epochs, profile, accepts=accept_changes, certify=certify)
        return
    if accept_changes:
        raise typer.BadParameter("goes with --resume alone", param_hint="--accept-changes")
    devices = count_device_ids(device_ids, devices, device_target)
    if profile:
        _refuse_to_profile_several(devices)
    from archspec.train.planning import plan_run

    for_spec, for_recipe = _collect_overrides(context.params)
    plan = plan_run(
        spec,
        data_dir=data_dir,
        recipe_name=recipe,
        spec_overrides=for_spec,
        recipe_overrides=for_recipe,
        initial=weights_for(spec, init_from, pretrained, for_spec, dry_run=dry_run),
        weights=_say_weights(init_from, pretrained),
        device_target=device_target,
        devices=devices,
    )
    if dry_run:
        show_plan(plan, out)
    else:
        _start(plan, out, certify, profile)


def _collect_overrides(given: dict[str, Any]) -> tuple[list[str | Override], list[Override]]:
    """What the command line sets in the spec, and in the recipe."""
    for_spec, for_recipe = split_overrides(given["overrides"])
    until, every = given["freeze_until"], given["save_every"]
    if until is not None:
        until = _list_parts_until(until)
    if every is not None and every.isdecimal():
        every = int(every)
    given = {**given, "freeze_until": until, "save_every": every}
    for_spec += override_by_flags(given, SPEC_FLAGS)
    for_recipe += override_by_flags(given, RECIPE_FLAGS)
    return for_spec, for_recipe


def _list_parts_until(part: str) -> str:
    """`block 2` is the stem, two blocks and what lies between, as others count what is frozen at
    a stage.
    """
    kind, _, number = " ".join(part.lower().split()).partition(" ")
    if kind.isdecimal():
        kind, number = "block", kind
    if (kind, number) == ("stem", ""):
        return "stem"
    if kind not in ("block", "transition") or not number.isdecimal() or not 1 <= int(number) <= 99:
        raise typer.BadParameter("say stem, block 2 or transition 2", param_hint="--freeze-until")
    last = int(number)
    parts = ["stem"]
    for before in range(1, last):
        parts += [f"block {before}", f"transition {before}"]
    ends = [f"block {last}"] if kind == "block" else [f"block {last}", f"transition {last}"]
    return ", ".join([*parts, *ends])


def _say_weights(init_from: Path | None, pretrained: bool) -> str:
    if pretrained:
        return "--pretrained"
    return "" if init_from is None else "--init-from"


def _start(plan: Any, out: Path | None, certify: bool, profile: bool) -> None:
    from archspec.certify.built_network import summarize_certificate
    from archspec.train.planning import create

    size = plan.spec.input
    data = f"{plan.settings.data_kind}: {plan.spec.head.num_classes} classes"
    console.out(f"{plan.spec.name} on {data}, images {size.height} x {size.width}")
    for line in (plan.recipe_line, *plan.notes):
        console.out(line)
    with console.status("certifying what MindSpore compiles, once for each network"):
        run = create(plan, out, certify=certify)
    if certify:
        console.out(summarize_certificate(json.loads(run.certificate.read_text("utf-8"))))
    _train(run, plan.splits, profile, is_new=True)


def _refuse_others(context: typer.Context) -> None:
    """A run is resumed as it was started; its data may have moved, its files been edited, and it
    may go on for longer.
    """
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


def _refuse_to_profile_several(devices: int) -> None:
    if devices > 1:
        rule = f"looks at a run in this process, and {devices} devices train in others"
        raise typer.BadParameter(rule, param_hint="--profile")


def _choose_devices_of_run(path: Path, device_ids: str) -> None:
    """A run goes on on as many devices as it began; on which, may be said anew."""
    from archspec.train.run.run_directory import open_run

    settings = open_run(path).settings
    found = count_device_ids(device_ids, 1, settings.device_target)
    if found != settings.devices:
        rule = f"{device_ids} are {found} devices, the run has {settings.devices}"
        raise typer.BadParameter(rule, param_hint="--device-ids")


def _resume(
    path: Path,
    data_dir: Path | None,
    epochs: int | None,
    profile: bool,
    *,
    accepts: bool,
    certify: bool,
) -> None:
    from archspec.train.run.extend import change_epochs
    from archspec.train.run.relocation import relocate
    from archspec.train.run.run_directory import open_run

    run, splits = open_run(path), None
    if profile:
        _refuse_to_profile_several(run.settings.devices)
    if data_dir is not None:
        run, splits = relocate(run, data_dir)
    if accepts:
        run = _accept_changes(run, splits, certify)
    if epochs is not None:
        run, line = change_epochs(run, epochs, place_typed(f"--epochs {epochs}"))
        console.out(line)
    _train(run, splits, profile, is_new=False)


def _accept_changes(run: Any, splits: Any, certify: bool) -> Any:
    from archspec.certify.built_network import summarize_certificate
    from archspec.train.run.acceptance import accept_changes

    with quiet_screen(run.log) as screen, screen.status("certifying what MindSpore compiles"):
        accepted = accept_changes(run, splits, certify=certify)
    console.out("the run goes on with spec.yaml and recipe.yaml as they are now")
    if certify:
        console.out(summarize_certificate(json.loads(accepted.certificate.read_text("utf-8"))))
    return accepted


def _train(run: Any, splits: Any, profile: bool, *, is_new: bool) -> None:
    from archspec.train.evaluation.measures import share_of
    from archspec.train.launch import fit
    from archspec.train.monitoring.display import Display
    from archspec.train.monitoring.operator_times import OperatorTimes

    path = shlex.quote(str(run.path))
    take_signals(raise_for_signal)
    try:
        with quiet_screen(run.log) as screen, Display(screen, run.log) as display:
            times = OperatorTimes(lambda found: show_profile(found, run.path, screen))
            looking_on = [times] if profile else []
            try:
                outcome = fit(run, show=display.show, splits=splits, callbacks=looking_on)
            finally:
                times.leave()  # else MindSpore does it at the exit, with words of its own
    except (KeyboardInterrupt, SystemExit) as stop:  # see `signals.exception_of`
        console.out(f"\nInterrupted. Go on with: densenet train --resume {path}")
        raise typer.Exit(int(stop.code or 0) if isinstance(stop, SystemExit) else 130) from None
    except ArchspecError as error:
        _help_after_fault(run, error, is_new)
        raise
    if profile and not times.table:
        console.out("Nothing was profiled: too few steps were left behind those that compile.")
    if outcome.ends_by:
        console.out(ENDS[outcome.ends_by])
    images = format_count(outcome.accuracy.images, "validation image")
    if outcome.part == "test":
        images = format_count(outcome.accuracy.images, "image")
        images += " that played no part in training or choosing"
    averaged = ""
    if outcome.averaged is not None:
        averaged = f", its averaged weights (--ema) on {share_of(outcome.averaged):.2%}"
    judged, accuracy = _name_judged(outcome.checkpoint), outcome.accuracy
    verdict = accuracy.verdict.format(share_of(accuracy))
    console.out(f"{judged} {verdict} {images}{averaged}. Run: {run.path}")
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
    from archspec.train.run.run_directory import discard_run

    codes = {diagnostic.code for diagnostic in error.diagnostics}
    has_begun = not is_new or (run.metrics.exists() and run.metrics.stat().st_size > 0)
    if not has_begun and (isinstance(error, EnvironmentFault) or "T002" in codes):
        discard_run(run)
    elif not NO_CURE & codes:
        command = f"densenet train --resume {shlex.quote(str(run.path))}"
        typer.echo(f"Stopped. After mending what follows, go on with: {command}", err=True)
