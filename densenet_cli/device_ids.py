"""`--device-ids`: which of this machine's Ascend devices are used."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from archspec.machine.ascend import VISIBLE_DEVICES

FLAG = "--device-ids"
DeviceIds = Annotated[
    str | None,
    typer.Option(
        FLAG, help="Which Ascend devices, 0,2,5, one process on each (default: 0, 1, ...)."
    ),
]


def count_device_ids(device_ids: str | None, devices: int, device_target: str) -> int:
    """Return how many devices are named, or `devices` where none are; have MindSpore, which is not
    imported yet, see these alone.
    """
    if device_ids is None:
        return devices
    if device_target != "Ascend":
        raise typer.BadParameter("goes with --device-target Ascend", param_hint=FLAG)
    numbers = [number.strip() for number in device_ids.split(",")]
    if not all(number.isdecimal() for number in numbers):
        raise typer.BadParameter(
            f"{device_ids or 'an empty word'} is no list such as 0,2,5", param_hint=FLAG
        )
    if len({*numbers}) < len(numbers):
        raise typer.BadParameter(f"{device_ids} names a device twice", param_hint=FLAG)
    if devices not in (1, len(numbers)):
        rule = f"{device_ids} are {len(numbers)} devices, --devices says {devices}"
        raise typer.BadParameter(rule, param_hint=FLAG)
    os.environ[VISIBLE_DEVICES] = ",".join(numbers)
    return len(numbers)
