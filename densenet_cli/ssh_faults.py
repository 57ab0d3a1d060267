"""Why ssh did not come to a host, or nothing could start there: its words, and what helps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from archspec.errors import Diagnostic
from densenet_cli.hosts import Host

SSH_FAILED = 255
NOT_STARTED = {126, 127}
"""What a shell ends with where a program cannot be run, or is not there."""
_LOST = "look at the network between the machines; a run that has begun goes on with --resume"
CURES: Sequence[tuple[str, str]] = (
    (
        "IDENTIFICATION HAS CHANGED",
        "where another key is expected, `ssh-keygen -R {address}` forgets the former one",
    ),
    (
        "Host key verification failed",
        "`ssh {name}` by hand, once, shows its key and accepts it",
    ),
    ("Permission denied", "it must ask for no password: `ssh-copy-id {name}` lets your key in"),
    ("Could not resolve", "say a name that this machine can look up, or an address"),
    (
        "Connection refused",
        "start its server (apt-get install openssh-server); "
        "another port than 22 stands in ~/.ssh/config",
    ),
    ("timed out", "is it on, and does each firewall let ssh through?"),
    ("No route to host", "is it on, and in a network that this machine reaches?"),
    ("Network is unreachable", "is it in a network that this machine reaches?"),
    ("not responding", _LOST),
    ("Broken pipe", _LOST),
    ("closed by remote host", _LOST),
)
"""Words of OpenSSH's, the more telling ones first, and the cure."""
_NO_FOLDER = re.compile(r"\bcd:")
_SETUP = "--ssh-setup 'cd FOLDER && . venv/bin/activate' says what its shell does before"


def find_fault(
    file: Path, host: Host, code: int, said: Sequence[str], *, has_started: bool
) -> Diagnostic | None:
    """Return why a host of a file ran nothing (E010), None where what ran there says that itself.

    Args:
        code: how its ssh has ended.
        said: the last lines that it, or what ran there, has written as errors.
        has_started: its shell has come to the command.
    """
    where, last = f"{file}:{host.line}", said[-1] if said else "without a word"
    if code in NOT_STARTED or (code and _NO_FOLDER.search(last)):
        return Diagnostic("E010", f"nothing could start on {host.name}: {last}", where, _SETUP)
    if code != SSH_FAILED:
        if has_started or code < 0:  # it was ended from here
            return None
        rule = f"nothing could start on {host.name}: its shell ended with {code} before, {last}"
        return Diagnostic("E010", rule, where, _SETUP)
    cure = f"`ssh {host.name}` by hand says more"
    for words, known in CURES:
        line = next((line for line in reversed(said) if words in line), "")
        if line:
            last, cure = line, known.format(name=host.name, address=host.name.rpartition("@")[2])
            break
    return Diagnostic("E010", f"ssh to {host.name} failed: {last}", where, cure)
