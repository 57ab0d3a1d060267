"""How many processes can train on this machine together?"""

from __future__ import annotations

import psutil

from archspec.errors import EnvironmentFault, format_count
from archspec.machine.ascend import list_devices, require_devices
from archspec.machine.resources import GIGABYTE, count_cores

LEAST_OF_EACH = 0.3 * GIGABYTE
"""What each has for itself: the smallest network, on digits, takes 0.35 GB of a CPU's memory."""


def require_processes(wanted: int, device_target: str) -> None:
    """Raise EnvironmentFault (E004) where this machine cannot have so many, each on a device of its
    own, or all of them on the CPU.
    """
    if device_target == "Ascend":
        require_devices(wanted)
        return
    memory = psutil.virtual_memory().total
    room = max(1, int(memory / LEAST_OF_EACH))
    if wanted > room:
        rule = (
            f"{format_count(wanted, 'device')} are as many processes, and this machine's "
            f"{memory / GIGABYTE:.1f} GB of memory are enough for {room:,} at most"
        )
        raise EnvironmentFault.one(
            "E004", f"device_target (='CPU') cannot be used: {rule}", hint=suggest_fewer()
        )


def suggest_fewer() -> str:
    """Return what helps where too many devices were asked for: what this machine has."""
    found = len(list_devices())
    here = format_count(found, "Ascend device") if found else format_count(count_cores(), "core")
    return f"fewer --devices: this machine has {here}"
