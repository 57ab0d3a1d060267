"""An evaluation that several devices share: each has its part of the images, all get the sums."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archspec.errors import TrainingError
from archspec.files import to_yaml
from archspec.machine.processes import require_processes
from archspec.runtime import prepare
from archspec.spec.load import load_spec
from archspec.train.distributed.msrun import launch_environment, msrun_command
from archspec.train.distributed.nodes import USUAL_PORT
from archspec.train.distributed.ports import find_free_port, hold_ports
from archspec.train.distributed.supervise import supervise
from archspec.train.evaluation.evaluation import Evaluation, read_evaluation
from archspec.train.faults.hangs import HANG_AFTER
from archspec.train.recipe.recipe import load_recipe
from archspec.train.run.run_directory import open_run
from archspec.train.trained.trained import Trained

WORKER = "archspec.train.inference.evaluation_worker"
SPEC, RECIPE, REQUEST, RESULT, LOGS = (
    "spec.yaml",
    "recipe.yaml",
    "request.json",
    "result.json",
    "workers",
)
LEAVES_LOGS = {"T011", "T012", "T013", "T024"}
"""Faults that name a log, which must still be there then."""


@dataclass(frozen=True)
class Request:
    """What the workers are asked: a trained network, as each of them opens it, and its data."""

    trained: Trained
    data_dir: Path | None
    device_target: str
    batch_size: int


def examine_on_devices(
    trained: Trained,
    data_dir: Path | None,
    *,
    devices: int,
    batch_size: int,
    hang_after: float = HANG_AFTER,
) -> Evaluation:
    """Return what so many processes of this machine find out together, each image once.

    Raises:
        ArchspecError: what a worker raised; T010..T013, T024 and E003 as `supervise` does.
        EnvironmentFault: E004, there are fewer devices here.
    """
    target = trained.device_target or "CPU"
    require_processes(devices, target)
    prepare()
    folder = Path(tempfile.mkdtemp(prefix="densenet-validate-"))
    try:
        _write_request(folder, Request(trained, data_dir, target, batch_size))
        with hold_ports():
            _evaluate(folder, target, devices, hang_after)
        found = read_evaluation(json.loads((folder / RESULT).read_text("utf-8")))
    except TrainingError as error:
        if not LEAVES_LOGS & {fault.code for fault in error.diagnostics}:
            shutil.rmtree(folder)
        raise
    except BaseException:
        shutil.rmtree(folder)
        raise
    shutil.rmtree(folder)
    return found


def _evaluate(folder: Path, target: str, devices: int, hang_after: float) -> None:
    command = msrun_command(
        devices=devices,
        device_target=target,
        log_dir=folder / LOGS,
        port=find_free_port(0 if target == "CPU" else USUAL_PORT),
        module=WORKER,
        arguments=[str(folder)],
    )
    environment = launch_environment({**os.environ, "PYTHONUNBUFFERED": "1"})
    supervise(
        command,
        environment=environment,
        log_dir=folder / LOGS,
        poll=_look_at_nothing,
        hang_after=hang_after,
    )


def _look_at_nothing() -> None:
    """The workers tell nothing before their end."""


def _write_request(folder: Path, request: Request) -> None:
    trained = request.trained
    (folder / SPEC).write_text(to_yaml(trained.spec.resolved()), "utf-8")
    (folder / RECIPE).write_text(to_yaml(trained.recipe.resolved()), "utf-8")
    values = {
        "checkpoint": str(trained.checkpoint.absolute()),
        "classes": trained.classes,
        "run": None if trained.run is None else str(trained.run.path),
        "ema": trained.ema,
        "data_dir": None if request.data_dir is None else str(request.data_dir.absolute()),
        "device_target": request.device_target,
        "batch_size": request.batch_size,
    }
    (folder / REQUEST).write_text(json.dumps(values), "utf-8")


def read_request(folder: Path) -> Request:
    """Return what a worker is asked."""
    values: Mapping[str, Any] = json.loads((folder / REQUEST).read_text("utf-8"))
    trained = Trained(
        load_spec(folder / SPEC),
        load_recipe(folder / RECIPE),
        Path(values["checkpoint"]),
        tuple(values["classes"]),
        None if values["run"] is None else open_run(Path(values["run"])),
        ema=values["ema"],
    )
    data_dir = None if values["data_dir"] is None else Path(values["data_dir"])
    return Request(trained, data_dir, values["device_target"], values["batch_size"])
