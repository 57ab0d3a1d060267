"""Training on several devices: the msrun command and its environment."""

from __future__ import annotations

import os
import socket
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from archspec.errors import Diagnostic, TrainingError


def msrun_command(
    *,
    devices: int,
    device_target: str,
    log_dir: Path,
    port: int,
    module: str,
    arguments: Sequence[str],
    nodes: int = 1,
    node_rank: int = 0,
    master: str = "127.0.0.1",
) -> list[str]:
    """Return the command that runs `python -m module arguments` once per device, `devices` on each node.

    Raises TrainingError (T010), a diagnostic for each value that msrun would not take.
    """
    _check_layout(devices, port, nodes, node_rank)
    workers = nodes * devices
    return [
        "msrun",
        f"--worker_num={workers}",
        f"--local_worker_num={devices}",
        *([f"--master_addr={master}", f"--node_rank={node_rank}"] if nodes > 1 else []),
        f"--master_port={port}",
        "--join=True",
        *(["--bind_core=True"] if device_target == "Ascend" else []),
        # A rank that does not exist: no `tail -f` is started, which would outlive an msrun that is killed.
        f"--tail_worker_log={workers}",
        f"--log_dir={log_dir}",
        _python_name(),
        "-m",
        module,
        *arguments,
    ]


def _check_layout(devices: int, port: int, nodes: int, node_rank: int) -> None:
    rules = (
        (devices >= 1, f"devices (={devices}) must be at least 1"),
        (nodes >= 1, f"nodes (={nodes}) must be at least 1"),
        (
            0 <= node_rank < max(nodes, 1),
            f"node_rank (={node_rank}) must be from 0 to nodes - 1 (={nodes - 1})",
        ),
        (1024 <= port <= 65535, f"port (={port}) must be from 1024 to 65535"),
    )
    faults = [Diagnostic("T010", message) for holds, message in rules if not holds]
    if faults:
        raise TrainingError(faults)


def _python_name() -> str:
    """Return the bare name msrun accepts that is this environment's Python."""
    bin_folder = Path(sys.executable).parent
    return "python" if (bin_folder / "python").exists() or not (bin_folder / "python3").exists() else "python3"


def free_port() -> int:
    """Return a TCP port of this machine that nobody listens on at the moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def launch_environment(base: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for `supervise`: `base`, and what msrun and the workers need to find and say."""
    root, library = str(Path(__file__).resolve().parents[2]), sysconfig.get_path("purelib")
    python_path = [base.get("PYTHONPATH", ""), "" if root == library else root]
    search_path = [str(Path(sys.executable).parent), sysconfig.get_path("scripts"), base.get("PATH", "")]
    return {
        **base,
        "PATH": os.pathsep.join(filter(None, dict.fromkeys(search_path))),  # msrun looks up `python` there
        "PYTHONPATH": os.pathsep.join(filter(None, python_path)),
        "PYTHONSAFEPATH": "1",  # a file json.py in the user's folder must not shadow the library's
        "PYTHONUNBUFFERED": "1",  # the last line before a kill is in the log
        # supervise reads msrun's own error lines, so they must be written, and to its output.
        "GLOG_v": min(base.get("GLOG_v", "3"), "3"),
        "GLOG_logtostderr": "1",
    }
