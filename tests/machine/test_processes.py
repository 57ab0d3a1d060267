"""How many processes a machine can have."""

import os

import pytest

from archspec.errors import EnvironmentFault
from archspec.machine.processes import require_processes, suggest_fewer


def read_memory():
    """As Linux says it itself, in bytes."""
    with open("/proc/meminfo", encoding="ascii") as file:
        return int(file.readline().split()[1]) * 1024


def test_more_processes_than_memory_can_hold_are_refused_with_what_is_here():
    """The cure says how many cores there are; one process is never too many."""
    for wanted in (1, len(os.sched_getaffinity(0))):
        require_processes(wanted, "CPU")
    size = f"{read_memory() / 1024**3:.1f} GB of memory are enough for "
    with pytest.raises(EnvironmentFault, match=size) as caught:
        require_processes(100_000, "CPU")
    (fault,) = caught.value.diagnostics
    assert (fault.code, fault.hint) == ("E004", suggest_fewer())
    assert "100,000 devices are as many processes" in fault.message


def test_cores_are_counted_where_there_is_no_device_of_ascend():
    """Those that this process may use, as a container or a scheduler leaves it."""
    own = os.sched_getaffinity(0)
    if any(name.startswith("davinci") for name in os.listdir("/dev")):
        pytest.skip("this machine has an Ascend device")
    assert suggest_fewer().startswith(f"fewer --devices: this machine has {len(own)} core")
    try:
        os.sched_setaffinity(0, {min(own)})
        assert suggest_fewer() == "fewer --devices: this machine has 1 core"
    finally:
        os.sched_setaffinity(0, own)
