"""densenet train."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from archspec.mindspore_versions import doubt_mindspore
from archspec.signals import exit_at_once, take_signals, watch_interrupts
from archspec.spec.catalogue import DEFAULT_SPEC
from archspec.spec.override import Override
from densenet_cli.device_ids import DeviceIds, count_device_ids
from densenet_cli.dry_run import show_plan, show_resumption
from densenet_cli.faults import HangAfter, Restarts, choose_policy
from densenet_cli.flags import RECIPE_FLAGS, SPEC_FLAGS, override_by_flags
from densenet_cli.mpirun import refuse_unlike_mpirun
from densenet_cli.options import (
    Certify,
    DataDir,
    Overrides,
    Pretrained,
    SpecName,
    complete_recipe,
    console,
    split_overrides,
)
from densenet_cli.profile import refuse_to_profile_several
from densenet_cli.resumption import choose_devices_of_run, refuse_others, resume_run
from densenet_cli.run_on_screen import train_on_screen
from densenet_cli.ssh import tie_to_input
from densenet_cli.this_machine import (
    USUAL_WAIT,
    Hostfile,
    Master,
    NodeRank,
    Nodes,
    NodeWait,
    Ssh,
    SshSetup,
    join_on_screen,
    read_node,
    take_hosts,
)
from densenet_cli.weights import weights_for

Text = str | None
Number = int | None


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
    devices: Annotated[
        int, typer.Option(min=1, help="Processes on each machine, which train together.")
    ] = 1,
    device_ids: DeviceIds = None,
    device_target: Annotated[
        Literal["CPU", "Ascend"], typer.Option(help="The kind of device.")
    ] = "CPU",
    restarts: Restarts = 0,
    hang_after: HangAfter = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Run directory (default: runs/NAME-DATE-TIME)."),
    ] = None,
    nodes: Nodes = None,
    node_rank: NodeRank = None,
    master: Master = None,
    node_wait: NodeWait = USUAL_WAIT,
    hostfile: Hostfile = None,
    ssh: Ssh = False,
    ssh_setup: SshSetup = "",
    init_from: Annotated[
        Path | None, typer.Option(help="Begin with the weights of a .ckpt, .safetensors or .pth.")
    ] = None,
    pretrained: Pretrained = False,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with a run, also for other --epochs or --devices.")
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
    tie_to_input()
    refuse_unlike_mpirun(context)
    given = refuse_others(context)
    _warn_of_mindspore()
    devices, nodes, master = take_hosts(context, devices, nodes, master)
    node = read_node(nodes, node_rank, master, node_wait, run=resume or out, is_dry=dry_run)
    if resume is not None:
        # mpirun says it too: a run may go on with as many as it has started.
        said = devices if {"devices"} & {*given, *(context.default_map or ())} else None
        devices = choose_devices_of_run(resume, device_ids, said)
    else:
        devices = count_device_ids(device_ids, devices, device_target)
    if node is not None and node.rank > 0 and not dry_run:
        policy = choose_policy(restarts, hang_after, devices, node.nodes)
        join_on_screen(node, resume or out, None if resume else devices, policy.hang_after)
        return
    if resume is not None:
        if dry_run:
            show_resumption(resume, data_dir, epochs, devices, node)
        else:
            edited, watch = {"accepts": accept_changes, "certify": certify}, (restarts, hang_after)
            resume_run(resume, data_dir, epochs, devices, profile, watch, node=node, **edited)
        return
    if accept_changes:
        raise typer.BadParameter("goes with --resume alone", param_hint="--accept-changes")
    if profile:
        refuse_to_profile_several(devices * (nodes or 1))
    faults = choose_policy(restarts, hang_after, devices, nodes or 1)
    from archspec.train.planning import plan_run

    for_spec, for_recipe = collect_overrides(context.params)
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
        nodes=nodes or 1,
    )
    if dry_run:
        show_plan(plan, out, node)
    else:
        _start(plan, out, certify, profile, faults, node)


def _warn_of_mindspore() -> None:
    """Say that this MindSpore was not tested; it may do all the same, so nothing ends for it."""
    doubt = doubt_mindspore()
    if doubt:
        typer.echo(doubt, err=True)


def collect_overrides(given: dict[str, Any]) -> tuple[list[str | Override], list[Override]]:
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


def _start(
    plan: Any, out: Path | None, certify: bool, profile: bool, faults: Any, node: Any
) -> None:
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
    train_on_screen(run, plan.splits, profile, is_new=True, faults=faults, node=node)
