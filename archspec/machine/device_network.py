"""The network between Ascend devices of several machines, as `hccn_tool` tells of it.

Its words are those of Huawei's MindCluster 7.3 (FaultDiag, "NPU Environment Check File"):
`ipaddr:`, `link status: UP` or `DOWN`, and `net health status:` with Success, Init and what went
wrong.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from archspec.machine.ascend import DEVICES, list_devices
from archspec.machine.finding import Finding

TOOL = Path("/usr/local/Ascend/driver/tools/hccn_tool")
SECONDS_TO_ANSWER = 10
SUBJECT = "HCCL network"
_ADDRESS = re.compile(r"ipaddr\s*:\s*([0-9A-Fa-f.:]+)")
_LINK = re.compile(r"link status\s*:\s*(\w+)")
_HEALTH = re.compile(r"net health status\s*:\s*(\S.*)")
# Init: nobody has told the device which address to ask, so that it cannot say more.
_HEALTHY = {"success", "init"}


def examine_network(devices: Path = DEVICES, tool: Path | None = None) -> Iterator[Finding]:
    """Yield whether each device has a link and an address: what one machine alone does not need."""
    names = list_devices(devices)
    if not names:
        yield Finding(SUBJECT, "note", "nothing to look at: there is no device here")
        return
    found = tool or Path(shutil.which("hccn_tool") or TOOL)
    if not found.is_file():
        yield Finding(SUBJECT, "note", f"{found} is not here, so nothing is known of it")
        return
    numbers = [int(name.removeprefix("v").removeprefix("davinci")) for name in names]
    addresses, faults = [], []
    for number in numbers:
        address, rules = _look_at(found, number)
        addresses.append(address)
        faults += [f"device {number}: {rule}" for rule in rules]
    if not faults:
        yield Finding(SUBJECT, "ok", f"{len(numbers)} links up, {', '.join(addresses)}")
        return
    cure = f"for one machine no matter; else {found} -i N -ip, -link, -net_health -g, as root"
    yield Finding(SUBJECT, "warning", "; ".join(faults), cure)


def _look_at(tool: Path, number: int) -> tuple[str, list[str]]:
    """Return a device's address, and what keeps other machines from it."""
    address = _ask(tool, number, "-ip", _ADDRESS)
    link, health = _ask(tool, number, "-link", _LINK), _ask(tool, number, "-net_health", _HEALTH)
    rules = []
    if not address:
        rules.append("no address is told")
    if link.upper() != "UP":
        rules.append(f"link {link or 'is not told'}")
    if health.lower() not in _HEALTHY:
        rules.append(f"net health {health or 'is not told'}")
    return address, rules


def _ask(tool: Path, number: int, what: str, answer: re.Pattern[str]) -> str:
    command = [str(tool), "-i", str(number), what, "-g"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=SECONDS_TO_ANSWER
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = answer.search(done.stdout)
    return found[1].strip() if found else ""
