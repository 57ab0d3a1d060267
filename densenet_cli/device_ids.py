"""`--device-ids`: which of this machine's Ascend devices are used."""

from __future__ import annotations

import os
import re
from typing import Annotated, NoReturn

import typer

from archspec.errors import format_count
from archspec.machine.ascend import VISIBLE_DEVICES
from archspec.spec.reading.document import shorten_value

FLAG = "--device-ids"
_NUMBER = re.compile("[0-9]{1,4}")
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
    numbers = _read_numbers(device_ids)
    if devices not in (1, len(numbers)):
        refuse_number(device_ids, len(numbers), f"--devices says {devices}")
    os.environ[VISIBLE_DEVICES] = ",".join(map(str, numbers))
    return len(numbers)


def _read_numbers(device_ids: str) -> list[int]:
    words = [word.strip() for word in device_ids.split(",")]
    if not all(_NUMBER.fullmatch(word) for word in words):
        rule = f"{shorten_value(device_ids)} is no list such as 0,2,5"
        raise typer.BadParameter(rule if device_ids else "say some, 0,2,5", param_hint=FLAG)
    numbers = [int(word) for word in words]
    if len({*numbers}) < len(numbers):
        raise typer.BadParameter(f"{device_ids} names a device twice", param_hint=FLAG)
    return numbers


def refuse_number(device_ids: str, named: int, otherwise: str) -> NoReturn:
    """Refuse a list that names another number of devices than what is said otherwise."""
    rule = f"{device_ids} names {format_count(named, 'device')}, {otherwise}"
    raise typer.BadParameter(rule, param_hint=FLAG)
