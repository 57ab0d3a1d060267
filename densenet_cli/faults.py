"""`--restarts` and `--hang-after`: what `train` does about processes that fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from archspec.train.faults.restarts import FaultPolicy

Restarts = Annotated[
    int, typer.Option(min=0, help="Of several processes: go on so often where one fails.")
]
HangAfter = Annotated[
    float | None,
    typer.Option(min=0, help="Seconds of standing still until one hangs (default: 45; 0: never)."),
]


def choose_policy(
    restarts: int, hang_after: float | None, devices: int, nodes: int = 1
) -> FaultPolicy:
    """Return what is done about processes that fail; one that is alone has nobody who watches."""
    from archspec.train.faults.hangs import HANG_AFTER
    from archspec.train.faults.restarts import FaultPolicy

    if devices * nodes == 1 and (restarts or hang_after is not None):
        flag = "--restarts" if restarts else "--hang-after"
        rule = "goes with several --devices, whose processes the command watches"
        raise typer.BadParameter(rule, param_hint=flag)
    if restarts and nodes > 1:
        rule = "goes with one machine: several would have to start again together"
        raise typer.BadParameter(rule, param_hint="--restarts")
    return FaultPolicy(restarts, HANG_AFTER if hang_after is None else hang_after)
