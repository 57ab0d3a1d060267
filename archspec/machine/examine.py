"""All that is looked at of a machine, in the order in which it is shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from archspec.machine.ascend import examine_ascend
from archspec.machine.device_network import examine_network
from archspec.machine.finding import Finding
from archspec.machine.resources import (
    examine_convolutions,
    examine_packages,
    examine_resources,
)
from archspec.mindspore_versions import find_mindspore


def examine_machine(device_target: str, folder: Path) -> Iterator[Finding]:
    """Yield what was found out, without importing MindSpore.

    Args:
        device_target: what is to be trained on: CPU or Ascend.
        folder: where runs are to be written.
    """
    yield from examine_packages()
    yield from examine_resources(folder)
    if device_target == "CPU":
        yield examine_convolutions()
    yield from examine_ascend(find_mindspore(), device_target == "Ascend")
    yield from examine_network()
