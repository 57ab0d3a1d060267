"""Training on several machines: what each does but the first, which makes and writes the run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from archspec.errors import ArchspecError, TrainingError
from archspec.machine.processes import require_processes
from archspec.runtime import prepare
from archspec.train.distributed.msrun import launch_environment
from archspec.train.distributed.node_reports import NodeReports, watch_together
from archspec.train.distributed.nodes import Node, check_nodes, check_place, wait_for_master
from archspec.train.distributed.supervise import supervise
from archspec.train.faults.lost_nodes import NetworkWatch
from archspec.train.launch import launch_command
from archspec.train.run.run_directory import Run, open_run

VISIBLE_SECONDS = 60.0
"""A network file system may show another machine's new file so much later."""
LEAST_VISIBLE_SECONDS = 5.0
"""Of them, where node 0 has come at the last moment of a node's patience."""


def join(
    path: Path,
    node: Node,
    *,
    devices: int | None,
    hang_after: float,
    say: Callable[[str], None],
    begin: Callable[[], None] = lambda: None,
) -> Run:
    """Train this machine's part of a run that node 0 has made, or goes on with.

    Args:
        path: the run directory, on storage that all nodes share.
        devices: the processes of each node, as this command has them; None takes the run's.
        hang_after: seconds of standing still after which one of them hangs; 0: never.
        say: is called with lines for the screen.
        begin: is called once this node is a part of the run, so that all others learn of its end.

    Raises:
        TrainingError: T022, node 0 cannot be found or is of another run, or a node is lost; T023,
            another node has ended; T010, the run has other nodes or devices; T011, T013, this
            node's own workers.
        EnvironmentFault: the device cannot be used.
    """
    prepare()
    check_place(node)
    say(f"{node.name} waits for node 0 at {node.master}, for {node.patience} s at most")
    latest = time.monotonic() + node.patience
    wait_for_master(node)
    reports = NodeReports(path.absolute() / "workers", node)
    try:
        run = _find_run(path, node, reports, latest)
        _check_fits(run, node, devices)
    except ArchspecError as error:
        reports.refuse(error)
        raise
    reports.join()
    begin()
    command = launch_command(run.path, run.settings, node)
    logs = run.workers / f"node_{node.rank}"
    say(f"starting {run.settings.devices} of {run.settings.world} processes, with logs in {logs}")
    say("node 0 shows how the run goes")

    def watch(poll: Callable[[], None]) -> None:
        environment = launch_environment(os.environ)
        supervise(command, environment=environment, log_dir=logs, poll=poll, hang_after=hang_after)

    network = NetworkWatch(node, logs, hang_after, reports.list_addresses)
    watch_together(watch, network.look, reports)
    return run


def _find_run(path: Path, node: Node, reports: NodeReports, latest: float) -> Run:
    now = time.monotonic()
    deadline = min(now + VISIBLE_SECONDS, max(latest, now + LEAST_VISIBLE_SECONDS))
    while not reports.find_start():
        if time.monotonic() > deadline:
            rule = f"node 0 listens at {node.master}, and nothing of it is seen in this folder"
            cure = "the run directory must lie on storage that all nodes share, under one path"
            raise TrainingError.one("T022", rule, str(path), cure)
        time.sleep(0.5)
    return open_run(path)


def _check_fits(run: Run, node: Node, devices: int | None) -> None:
    check_nodes(run.settings.nodes, node)
    if devices is not None and devices != run.settings.devices:
        rule = f"the run has {run.settings.devices} devices on each node, --devices says {devices}"
        raise TrainingError.one("T010", rule, str(run.path), "the same words on all nodes")
    require_processes(run.settings.devices, run.settings.device_target)
