"""Ascend devices, their driver, and CANN: are they here, and do their versions fit MindSpore's?

Nothing of this was seen on a device: the places are those of Huawei's documentation, and the
versions those of the sources that stand beside them.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from archspec.errors import EnvironmentFault
from archspec.machine.finding import Finding, Level

VISIBLE_DEVICES = "ASCEND_RT_VISIBLE_DEVICES"
"""What CANN's runtime reads: the devices that a process, and those it starts, sees as 0, 1, ..."""
DEVICES = Path("/dev")
DRIVER = Path("/usr/local/Ascend/driver/version.info")
CANN_FOLDERS = (
    Path("/usr/local/Ascend/cann"),
    Path("/usr/local/Ascend/ascend-toolkit/latest"),
)
"""Where CANN installs itself as root, since 8.5 and before; `ASCEND_HOME_PATH`, which its
set_env.sh sets, comes first."""
VERSION_FILES = (
    "compiler/version.info",
    f"{platform.machine()}-linux/ascend_toolkit_install.info",
)
"""The first is the one that MindSpore reads, the second that of CANN's installation guide."""
_DEVICE = re.compile(r"v?davinci[0-9]+")
SET_ENV = "source set_env.sh of CANN's folder (/usr/local/Ascend/ascend-toolkit/set_env.sh)"


class Match(NamedTuple):
    """Versions of CANN that a version of MindSpore is made for."""

    mindspore: str
    cann: tuple[str, ...]
    source: str


CHECKER = "run_check/_check_version.py, AscendEnvChecker"
MATCHES = (
    Match("2.10", ("8.2", "8.3", "8.5", "9.0", "9.1"), f"mindspore 2.10.0, {CHECKER}"),
    Match("2.9", ("8.2", "8.3", "8.5", "9.0"), f"mindspore 2.9.0, {CHECKER}"),
    Match("2.8", ("8.2", "8.3", "8.5"), f"mindspore 2.8.0, {CHECKER}"),
    Match("2.7.2", ("8.5",), f"mindspore 2.7.2, {CHECKER}"),
    Match("2.7.1", ("7.8", "8.2", "8.3"), f"mindspore 2.7.1, {CHECKER}"),
    Match("2.7.0", ("7.7", "7.8", "8.2"), f"mindspore 2.7.0, {CHECKER}"),
)
"""The first that fits the version's beginning counts. 7.7 and 7.8 are numbers that parts of CANN
have, and that such a file takes as well."""


def find_match(mindspore: str) -> Match | None:
    """Return which versions of CANN a version of MindSpore is made for, None where no source says
    it.
    """
    for match in MATCHES:
        if f"{mindspore}.".startswith(f"{match.mindspore}."):
            return match
    return None


def list_devices(folder: Path = DEVICES) -> tuple[str, ...]:
    """Return the files of the devices that the driver shows, shares of one (`vdavinci100`) too, but
    for those that the user hides.
    """
    names = [entry.name for entry in folder.iterdir() if _DEVICE.fullmatch(entry.name)]
    names.sort(key=lambda name: int(name.removeprefix("v").removeprefix("davinci")))
    visible = os.environ.get(VISIBLE_DEVICES, "").replace(" ", "")
    if not visible:
        return tuple(names)
    # The runtime counts what a process has, from 0: in a container with davinci4 alone that is 0.
    chosen = {int(number) for number in visible.split(",") if number.isdecimal()}
    return tuple(name for number, name in enumerate(names) if number in chosen)


def require_devices(wanted: int, folder: Path = DEVICES) -> None:
    """Raise EnvironmentFault (E004) where this machine cannot have so many Ascend devices."""
    found = list_devices(folder)
    if len(found) >= wanted:
        return
    reason = f"there are {len(found)} Ascend devices here, and {wanted} are wanted"
    if not found:
        reason = f"there is no Ascend device here ({folder}/davinci0)"
    raise EnvironmentFault.one(
        "E004",
        f"device_target (='Ascend') cannot be used: {reason}",
        hint="densenet doctor --device-target Ascend",
    )


def examine_ascend(
    mindspore: str,
    is_wanted: bool,
    *,
    devices: Path = DEVICES,
    driver: Path = DRIVER,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Finding]:
    """Yield what is known of devices, driver and CANN; where nobody wants them, that there are none
    is a note.
    """
    environment = os.environ if environment is None else environment
    absent: Level = "fault" if is_wanted else "note"
    names = list_devices(devices)
    if names:
        yield Finding("Ascend devices", "ok", f"{len(names)} ({', '.join(names)})")
    else:
        cure = "install the driver; in a container, hand /dev/davinci* and /dev/davinci_manager on"
        yield Finding("Ascend devices", absent, "none", cure if is_wanted else "")
    version = read_version(driver)
    if version:
        yield Finding("Ascend driver", "ok", version)
    else:
        cure = f"npu-smi info must work; {driver} is absent"
        yield Finding("Ascend driver", absent, "none", cure if is_wanted else "")
    yield _examine_cann(mindspore, absent, environment)


def _examine_cann(mindspore: str, absent: Level, environment: Mapping[str, str]) -> Finding:
    home = environment.get("ASCEND_HOME_PATH", "")
    folders = (Path(home),) if home else CANN_FOLDERS
    version = ""
    for folder in folders:
        for name in VERSION_FILES:
            version = version or read_version(folder / name)
    if not version:
        return Finding("CANN", absent, "none", SET_ENV if absent == "fault" else "")
    if not home:
        cure = f"{SET_ENV} before densenet is started"
        return Finding("CANN", "warning", f"{version}, but ASCEND_HOME_PATH is not set", cure)
    match = find_match(mindspore)
    if match is None:
        return Finding(
            "CANN", "note", f"{version}; no source says what mindspore {mindspore} needs"
        )
    if any(version.startswith(known) for known in match.cann):
        return Finding("CANN", "ok", f"{version}, fits mindspore {mindspore} ({match.source})")
    cure = f"install one of {', '.join(match.cann)}, or another mindspore ({match.source})"
    return Finding("CANN", "warning", f"{version} is not for mindspore {mindspore}", cure)


def read_version(file: Path) -> str:
    """Return the version that a file of Ascend's says, '' where there is none."""
    try:
        text = file.read_text("utf-8", errors="replace")[:65536]
    except OSError:
        return ""
    found = re.search(r"(?im)^\s*version\s*=\s*([\w.]+)", text)
    return found[1] if found else ""
