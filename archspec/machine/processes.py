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
            "E004", f"device_target (='CPU') cannot be used: {rule}", hint=suggest_devices()
        )


def suggest_devices() -> str:
    """Return how many this machine has, in the words to type."""
    found = len(list_devices())
    if found:
        return f"--devices {found}, as many as this machine has of Ascend"
    cores = count_cores()
    return f"--devices {cores}: this machine has {format_count(cores, 'core')}"
