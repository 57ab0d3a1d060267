"""Training a run, in this process or in as many as it has devices."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archspec.errors import TrainingError
from archspec.runtime import prepare
from archspec.signals import hold_interrupts
from archspec.train.callbacks import Callback
from archspec.train.data.sources.data_parts import Splits
from archspec.train.distributed.msrun import launch_environment, msrun_command
from archspec.train.distributed.node_reports import NodeReports, watch_together
from archspec.train.distributed.nodes import USUAL_PORT, Node, check_nodes, check_place
from archspec.train.distributed.ports import find_free_port, hold_ports
from archspec.train.distributed.supervise import supervise
from archspec.train.distributed.worker_group import IMAGES_CHECKED
from archspec.train.evaluation.measures import read_figures
from archspec.train.faults.restarts import FaultPolicy, start_again
from archspec.train.faults.watch import list_reporting
from archspec.train.monitoring.progress import Event, EventTail, append_event
from archspec.train.planning import Plan, create
from archspec.train.run.changes import refuse_changes
from archspec.train.run.recovery import recover_checkpoints
from archspec.train.run.run_directory import Run, Settings, open_run
from archspec.train.run.run_lock import lock_run

WORKER = "archspec.train.distributed.training_worker"

Show = Callable[[Event], None]


@dataclass(frozen=True)
class Outcome:
    """How a run ended, by images that chose nothing where the data set has such."""

    run: Run
    accuracy: Any
    """Of the best checkpoint: `Accuracy`, or what else its targets have measured."""
    averaged: Any
    """Of its moving averages, with `ema`; None without."""
    part: str
    """The images that it was judged by: `test`, or `val` where there are no others."""
    checkpoint: str | None
    """The file's name; None where none is whole, and the network is judged as it was in memory."""
    ends_by: str
    """Why it ended before its last epoch: `early_stopping`, `time_budget`, `on_request`; or ''."""


def fit(
    what: Plan | Run | Path | str,
    out: Path | str | None = None,
    *,
    callbacks: Sequence[Callback] | Callback = (),
    show: Show | None = None,
    certify: bool = False,
    splits: Splits | None = None,
    faults: FaultPolicy | None = None,
    node: Node | None = None,
) -> Outcome:
    """Train what is planned, or go on with a run.

    Args:
        what: a plan, or a run directory.
        out: the run directory of a plan; `runs/NAME-DATE-TIME` where absent.
        callbacks: see `Callback`; of a run in this process alone.
        show: is called with each event, as it stands in metrics.jsonl.
        certify: compile a plan's network first, read it back and compare it with the spec.
        splits: the data set of a run, where it is open already: it is not looked through again.
        faults: what is done where one of several devices' processes fails, or hangs.
        node: this machine, the first of several; the others `join` the run.

    Raises:
        TrainingError: T001, T002, the run directory cannot be made; T004, it is none; T006, the
            loss is no number; T016, its files were edited; T017, another process trains there;
            T018, no checkpoint is whole; T019, callbacks of a run on several devices; T011, T012,
            T013, T024, one of several processes failed or hangs; T022, T023, of several machines
            one is no part of the run, or has ended.
        DataError: an image cannot be read, or the classes have changed.
        EnvironmentFault: the device cannot be used.
    """
    if isinstance(callbacks, Callback):
        callbacks = (callbacks,)
    if not all(isinstance(callback, Callback) for callback in callbacks):
        raise TypeError("callbacks are instances of archspec.train.Callback")
    if not isinstance(what, Plan) and (out is not None or certify):
        raise TypeError("out and certify go with a plan: a run has its folder")
    with hold_ports():
        if node is not None:
            check_place(node)
        if isinstance(what, Plan):
            _refuse_callbacks(callbacks, what.settings.world)
            out = None if out is None else Path(out)
            run, splits = create(what, out, certify=certify), what.splits
        else:
            run = what if isinstance(what, Run) else open_run(Path(what))
            _refuse_callbacks(callbacks, run.settings.world)
        faults = faults or FaultPolicy()
        return _outcome_of(run, _train(run, show or _ignore, splits, callbacks, faults, node))


def _refuse_callbacks(callbacks: Sequence[Callback], devices: int) -> None:
    if callbacks and devices > 1:
        rule = f"callbacks see a run in this process, and {devices} devices train in others"
        hint = "one device, or read the run's metrics.jsonl while it grows"
        raise TrainingError.one("T019", rule, "", hint)


def _ignore(event: Event) -> None:
    """Where nobody asked to be shown events."""


def _outcome_of(run: Run, end: Mapping[str, Any]) -> Outcome:
    return Outcome(
        run,
        read_figures(end),
        read_figures(end, "ema_"),
        end["part"],
        end["checkpoint"],
        end.get("ends_by", ""),
    )


def launch_command(run_path: Path, settings: Settings, node: Node | None = None) -> list[str]:
    """Return the `msrun` command that trains in a run directory, on this machine or its part."""
    on_cpu, logs = settings.device_target == "CPU", run_path / "workers"
    if node is None:
        port = find_free_port(0 if on_cpu else USUAL_PORT)
    else:
        port, logs = node.port, logs if node.rank == 0 else logs / f"node_{node.rank}"
    return msrun_command(
        devices=settings.devices,
        device_target=settings.device_target,
        log_dir=logs,
        port=port,
        module=WORKER,
        arguments=[str(run_path), *([str(logs)] if node and node.rank else [])],
        node=node,
    )


def _train(
    run: Run,
    show: Show,
    splits: Splits | None,
    callbacks: Sequence[Callback],
    faults: FaultPolicy,
    node: Node | None,
) -> Mapping[str, Any]:
    """Train in a run directory, and return the end event."""
    check_nodes(run.settings.nodes, node)
    prepare()
    latest: Event = {}

    def seen(event: Event) -> None:
        nonlocal latest
        latest = event
        show(event)

    def tell(text: str) -> None:
        note = {"event": "note", "text": text}
        with suppress(TrainingError):  # a full disk may be what is told of
            append_event(run.metrics, note)
        show(note)

    with lock_run(run) as unlocked:
        refuse_changes(run)
        for text in filter(None, (unlocked, *recover_checkpoints(run))):
            tell(text)
        if run.settings.world > 1:
            _train_distributed(run, seen, tell, faults, node, is_checked=splits is not None)
        else:
            _train_here(run, seen, splits, callbacks)
    return latest


def _train_here(run: Run, seen: Show, splits: Splits | None, callbacks: Sequence[Callback]) -> None:
    from archspec.train.loop import train_in_process

    with hold_interrupts():
        # An interrupt in the middle of its import would end in a crash.
        import mindspore  # noqa: F401

    def report(event: Event) -> None:
        append_event(run.metrics, event)
        seen(event)

    train_in_process(run, report, splits, callbacks=callbacks)


def _train_distributed(
    run: Run,
    seen: Show,
    tell: Callable[[str], None],
    faults: FaultPolicy,
    node: Node | None,
    *,
    is_checked: bool,
) -> None:
    told = {"PYTHONUNBUFFERED": "1", IMAGES_CHECKED: "1" if is_checked else ""}
    environment = launch_environment({**os.environ, **told})
    run.workers.mkdir(exist_ok=True)

    def watch(poll: Callable[[], None]) -> None:
        supervise(
            launch_command(run.path, run.settings, node),
            environment=environment,
            log_dir=run.workers,
            poll=poll,
            hang_after=faults.hang_after,
        )

    def start() -> None:
        tail = EventTail(run.metrics)

        def poll() -> None:
            for event in tail.new():
                seen(event)

        # Not in the run's events: nothing of the run has begun.
        seen({"event": "phase", "phase": "starting", "processes": run.settings.world})
        try:
            _watch_nodes(run, watch, poll, seen, node)
        finally:
            poll()
            ranks = list_reporting(run.workers)
            if 0 < len(ranks) < run.settings.world:  # else it is the fault of none of them
                tell(f"rank {', '.join(ranks)} could not go on; logs: {run.workers}")

    def begin_again(text: str) -> None:
        tell(text)
        for found in recover_checkpoints(run):
            tell(found)

    start_again(start, faults.restarts, run.workers, begin_again)


def _watch_nodes(
    run: Run,
    watch: Callable[[Callable[[], None]], None],
    poll: Callable[[], None],
    seen: Show,
    node: Node | None,
) -> None:
    """Watch this machine's processes, and of several machines what the others say."""
    if node is None:
        watch(poll)
        return
    reports = NodeReports(run.workers, node)
    reports.begin()
    seen({"event": "note", "text": f"{node.name} listens at {node.master}"})
    watch_together(watch, poll, reports)
