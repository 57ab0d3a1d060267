"""Training on several machines: which of them this one is, and where their first one is found."""

from __future__ import annotations

import errno
import socket
import time
from dataclasses import dataclass
from ipaddress import ip_address

from archspec.errors import TrainingError, format_count
from archspec.train.distributed.ports import claim_port

PORTS = range(1024, 65536)
"""What msrun takes."""
USUAL_PORT = 8118  # msrun's own default
SECONDS_OF_A_TRY = 5.0
SECONDS_BETWEEN_TRIES = 1.0


@dataclass(frozen=True)
class Node:
    """One of several machines that train a run together.

    The first one, node 0, makes the run and has the scheduler, which tells all processes of each
    other; the others look for it at `address`, a name or an IP address, and `port`.
    """

    nodes: int
    rank: int
    address: str
    port: int
    patience: int = 600
    """Seconds for which nodes wait for each other."""

    @property
    def master(self) -> str:
        """Address and port, as they are said to `--master`."""
        return f"{self.address}:{self.port}"

    @property
    def name(self) -> str:
        """What this node is called in words."""
        return f"node {self.rank} of {self.nodes}"


def check_nodes(nodes: int, node: Node | None) -> None:
    """Raise TrainingError (T010) where a run of so many nodes is not started on as many."""
    said = 1 if node is None else node.nodes
    if said == nodes:
        return
    rule = f"the run has {format_count(nodes, 'node')}, and --nodes says {said}"
    cure = f"--nodes {nodes} --node-rank K --master ADDR:PORT, on each of them"
    raise TrainingError.one("T010", rule, "", "leave --nodes out" if nodes == 1 else cure)


def check_place(node: Node) -> None:
    """Look whether this machine can be that node: the first one has the address, no other has it.
    The first one claims its port for as long as `ports.hold_ports` lasts.

    Raises:
        TrainingError: T022, the address is nobody's, this machine's alone, or another machine's;
            T012, its port is in use.
    """
    found = _resolve(node)
    if found is None and node.rank > 0:
        return  # a name may come with its machine: `wait_for_master` asks again
    if found is None:
        rule = "is no name that this machine can look up"
        raise _fault(node, rule, "say an address, such as 10.0.0.5")
    family, address = found
    if _is_loopback(address):
        rule = f"is {address} here, where no other machine comes"
        raise _fault(node, rule, "say the address of node 0 in the network that all nodes share")
    is_here = _can_bind(family, address, 0)
    if is_here and node.rank > 0:
        rule = f"is this machine, which is to be node {node.rank}: each node is a machine"
        raise _fault(node, rule, "--node-rank 0 goes with the machine of --master")
    if not is_here and node.rank == 0:
        rule = "is no address of this machine, which is to be node 0"
        raise _fault(node, rule, "`ip addr` lists the addresses of a machine")
    if node.rank == 0:
        _take_port(node, family, address)


def _take_port(node: Node, family: socket.AddressFamily, address: str) -> None:
    reason = ""
    if not claim_port(node.port):
        reason = "another run of this machine has begun with that port"
    elif not _can_bind(family, address, node.port):
        reason = "the port is in use"
    if reason:
        cure = "another port, the same with all nodes: --master ADDR:PORT"
        rule = f"node 0 cannot listen at {node.master}: {reason}"
        raise TrainingError.one("T012", rule, "", cure)


def wait_for_master(node: Node) -> None:
    """Wait until node 0 listens, for `patience` at most.

    A connection that closes at once is noted by MindSpore's scheduler as a warning, no more.

    Raises:
        TrainingError: T022, nobody listens there.
    """
    deadline = time.monotonic() + node.patience
    reason = try_to_connect(node, node.patience)
    while reason and (left := deadline - time.monotonic()) > 0:
        time.sleep(min(SECONDS_BETWEEN_TRIES, left))
        reason = try_to_connect(node, left)
    if reason:
        rule = f"nobody listens there after {node.patience} s: {reason}"
        cure = "start node 0 there, with the same --master, and let its port through the firewall"
        raise _fault(node, rule, cure)


def try_to_connect(node: Node, seconds: float = SECONDS_OF_A_TRY) -> str:
    """Return why node 0 cannot be reached, '' where it can; it has so long at most to answer."""
    patience = min(SECONDS_OF_A_TRY, max(seconds, 1.0))
    error = _connect(node.address.strip("[]"), node.port, patience)
    return "" if error is None else error.strerror or str(error)


def ask_machine(address: str, port: int) -> str:
    """Return why a machine does not answer, '' where it does, as it also does by a refusal."""
    error = _connect(address, port, SECONDS_OF_A_TRY)
    if error is None or isinstance(error, ConnectionRefusedError):
        return ""
    return error.strerror or str(error)


def _connect(address: str, port: int, seconds: float) -> OSError | None:
    try:
        with socket.create_connection((address, port), seconds):
            return None
    except OSError as error:
        return error


def is_address(said: object) -> bool:
    """Return whether that is an IP address: what another node says may be anything."""
    try:
        return isinstance(said, str) and bool(ip_address(said))
    except ValueError:
        return False


def find_own_address(node: Node) -> str:
    """Return where this machine is found in the network of node 0, '' where it has no way there.

    Nothing is sent: the system says which of its addresses it would take.
    """
    found = _resolve(node)
    if found is None:
        return ""
    family, address = found
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect((address, node.port))
        except OSError:
            return ""
        return str(asking.getsockname()[0])


def _resolve(node: Node) -> tuple[socket.AddressFamily, str] | None:
    """Return family and IP address, the first one of a name's, which msrun takes too."""
    name = node.address.strip("[]")
    try:
        found = socket.getaddrinfo(name, None, socket.AF_UNSPEC, socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return None
    return found[0][0], str(found[0][4][0])


def _is_loopback(address: str) -> bool:
    return address.startswith("127.") or address == "::1"


def _can_bind(family: socket.AddressFamily, address: str, port: int) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((address, port))
        except OSError as error:
            if error.errno in (errno.EADDRNOTAVAIL, errno.EADDRINUSE):
                return False
            raise
    return True


def _fault(node: Node, rule: str, hint: str) -> TrainingError:
    return TrainingError.one("T022", rule, f"--master {node.master}", hint)
