"""Which ports of this machine a job has, from its first look at one until it ends.

A scheduler listens many seconds after its job has seen that the port is free, so that two jobs
which begin together would take the same one, and each other's processes. So a job claims it by a
name of the kernel's, which goes with the process and tells networks apart (unix(7), abstract).
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_CLAIMED: dict[int, socket.socket] = {}


def claim_port(port: int) -> bool:
    """Return whether this process has the port from now on, or another job has it."""
    if port in _CLAIMED or sys.platform != "linux":
        return True
    holder = socket.socket(socket.AF_UNIX)
    try:
        holder.bind(f"\0densenet-archspec-port-{port}")
    except OSError:
        holder.close()
        return False
    _CLAIMED[port] = holder
    return True


@contextmanager
def hold_ports() -> Iterator[None]:
    """Keep what is claimed for as long as the block lasts, and leave it to other jobs then."""
    try:
        yield
    finally:
        while _CLAIMED:
            _CLAIMED.popitem()[1].close()


def find_free_port(usual: int = 0) -> int:
    """Return a TCP port of this machine that nobody listens on at the moment: the usual one, if
    there is one that another job does not have, which is claimed.
    """
    with socket.socket() as listener:
        # Connections of a job that has ended keep nobody from its port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", usual if usual and claim_port(usual) else 0))
        except OSError:
            listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
