"""`--hostfile`: the machines of a run, as OpenMPI and DeepSpeed list them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path

from archspec.errors import Diagnostic, TrainingError, format_count

MOST_BYTES = 1 << 16
HERE = {"localhost", "127.0.0.1", "::1"}
IGNORED = {"max_slots", "max-slots"}
_NAME = re.compile(r"\w[\w.-]*")
_HOST = re.compile(r"(?P<user>\w[\w.-]*@)?(?P<open>\[)?(?P<address>[\w.:%-]+)(?(open)\])")
_SLOTS = re.compile(r"[1-9][0-9]{0,3}")
_WITH_NUMBER = re.compile(r"[^:\[\]]+:[0-9]+")
_NUMBERS = "processes are slots=N, and a port of ssh stands in ~/.ssh/config"


@dataclass(frozen=True)
class Host:
    """A machine."""

    line: int
    name: str
    """As ssh takes it, perhaps with a user; an IPv6 address without brackets."""
    slots: int | None
    """Processes that it has room for."""

    @property
    def address(self) -> str:
        """Where other machines find it, an IPv6 address in brackets."""
        address = self.name.rpartition("@")[2]
        return f"[{address}]" if ":" in address else address

    @property
    def machine(self) -> str:
        """What is the same for each way to write the address: as DNS takes a name, in small
        letters, and an IPv6 address in its shortest form; this machine has several.
        """
        address = self.address.strip("[]")
        if address.lower().rstrip(".") in HERE:
            return "localhost"
        if _is_ipv6(address):
            found = IPv6Address(address)
            return str(found.ipv4_mapped or found).lower()
        return address.lower().rstrip(".")


def read_hosts(file: Path) -> list[Host]:
    """Return the hosts of a file with one `HOST [slots=N]` a line; `#` begins a comment.

    Raises:
        TrainingError: T010, the file cannot be read, or what is wrong in it, all at once.
    """
    hosts: list[Host] = []
    faults: list[Diagnostic] = []
    for number, line in enumerate(_read_text(file).splitlines(), start=1):
        words = line.partition("#")[0].split()
        if words:
            hosts.append(Host(number, _read_name(words[0]), _read_slots(words[1:])))
            rules = _check_line(hosts, words)
            hint = _NUMBERS if _WITH_NUMBER.fullmatch(words[0]) else ""
            faults += [Diagnostic("T010", rule, f"{file}:{number}", hint) for rule in rules]
    if not hosts:
        faults.append(Diagnostic("T010", "names no host", str(file)))
    if faults:
        raise TrainingError(faults)
    return hosts


def _read_text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            data = opened.read(MOST_BYTES + 1)
        if len(data) <= MOST_BYTES:
            return data.decode("utf-8-sig")  # some editors begin a file with a mark
        rule = f"is larger than {MOST_BYTES:,} bytes"
    except OSError as error:
        rule = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        rule = "is no text in UTF-8"
    raise TrainingError.one("T010", rule, str(file))


def choose_devices(file: Path, hosts: Sequence[Host], typed: int | None) -> int:
    """Return the processes of each host: what was typed, else the slots, else 1.

    Raises:
        TrainingError: T010, a host has fewer slots, or each another number of them.
    """
    known = {host.slots or 1 for host in hosts}
    devices = typed or min(known)
    faults = []
    for host in hosts:
        if host.slots is not None and host.slots < devices:
            rule = f"{host.name} has {format_count(host.slots, 'slot')}, --devices says {devices}"
            faults.append(Diagnostic("T010", rule, f"{file}:{host.line}"))
    if typed is None and len(known) > 1:
        rule = "all nodes have as many processes, and these hosts have other numbers of slots"
        faults.append(Diagnostic("T010", rule, str(file), f"--devices {devices} takes so many"))
    if faults:
        raise TrainingError(faults)
    return devices


def _read_name(word: str) -> str:
    """Return a host as ssh takes it, '' for what is none: an IPv6 address loses its brackets."""
    found = _HOST.fullmatch(word)
    if found is None:
        return ""
    address = found["address"]
    is_one = _is_ipv6(address) or (not found["open"] and _NAME.fullmatch(address))
    return f"{found['user'] or ''}{address}" if is_one else ""


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _read_slots(words: Sequence[str]) -> int | None:
    found = [word.removeprefix("slots=") for word in words if word.startswith("slots=")]
    return int(found[0]) if found and _SLOTS.fullmatch(found[0]) else None


def _check_line(hosts: Sequence[Host], words: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with the last of the hosts, which these words name."""
    (*before, host), settings = hosts, words[1:]
    if not host.name:
        yield f"{words[0]} is no name of a host"
    for earlier in before:
        if host.name and earlier.machine == host.machine:
            yield f"{host.name} stands in line {earlier.line} too: each node is a machine"
            return
    if sum(word.startswith("slots=") for word in settings) > 1:
        yield f"{host.name} has slots= twice"
    for word in settings:
        key, _, value = word.partition("=")
        if key not in {"slots", *IGNORED} or not _SLOTS.fullmatch(value):
            yield f"{word} is not slots=N, N from 1 to 9999"
