"""Training on several devices: the msrun command and its environment."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from archspec.errors import Diagnostic, TrainingError
from archspec.machine.ascend import VISIBLE_DEVICES
from archspec.shell_words import join_words, quote_word
from archspec.train.distributed.nodes import PORTS, Node


def msrun_command(
    *,
    devices: int,
    device_target: str,
    log_dir: Path,
    port: int,
    module: str,
    arguments: Sequence[str],
    node: Node | None = None,
) -> list[str]:
    """Return the command that runs `python -m module arguments` once per device of this machine,
    which is one of several where `node` says so.

    Raises TrainingError (T010), a diagnostic for each value that msrun would not take.
    """
    _check_layout(devices, port)
    world = devices if node is None else devices * node.nodes
    return [
        "msrun",
        f"--worker_num={world}",
        f"--local_worker_num={devices}",
        *(_place(node) if node else []),
        f"--master_port={port}",
        "--join=True",
        *(["--bind_core=True"] if device_target == "Ascend" else []),
        # A rank that does not exist: no `tail -f` is started, which would outlive an msrun that is
        # killed.
        f"--tail_worker_log={world}",
        f"--log_dir={log_dir}",
        _python_name(),
        "-m",
        module,
        *arguments,
    ]


def _place(node: Node) -> list[str]:
    return [
        f"--master_addr={node.address}",
        f"--node_rank={node.rank}",
        f"--cluster_time_out={node.patience}",
    ]


def _check_layout(devices: int, port: int) -> None:
    rules = (
        (devices >= 1, f"devices (={devices}) must be at least 1"),
        (port in PORTS, f"port (={port}) must be from {PORTS.start} to {PORTS[-1]}"),
    )
    faults = [Diagnostic("T010", message) for holds, message in rules if not holds]
    if faults:
        raise TrainingError(faults)


def write_shell_line(command: Sequence[str]) -> str:
    """Return an msrun command as a line for a shell, with the devices that it is to see where they
    are chosen, and a PATH where msrun or its python is another on the shell's.

    What else `launch_environment` sets is for `supervise`:
    a line that is run by hand does without it.
    """
    folders, names = _own_folders(), (command[0], _python_name())
    own_path = os.pathsep.join([*folders, os.environ.get("PATH", "")])
    settings = []
    if any(shutil.which(name) != shutil.which(name, path=own_path) for name in names):
        settings.append(f'PATH={quote_word(os.pathsep.join(folders))}:"$PATH"')
    if os.environ.get(VISIBLE_DEVICES):
        settings.append(f"{VISIBLE_DEVICES}={quote_word(os.environ[VISIBLE_DEVICES])}")
    return " ".join([*(["env", *settings] if settings else []), join_words(command)])


def _own_folders() -> list[str]:
    """Return where this environment's programs lie."""
    return list(dict.fromkeys([str(Path(sys.executable).parent), sysconfig.get_path("scripts")]))


def _python_name() -> str:
    """Return the bare name msrun accepts that is this environment's Python."""
    bin_folder = Path(sys.executable).parent
    has_python, has_python3 = (bin_folder / "python").exists(), (bin_folder / "python3").exists()
    return "python" if has_python or not has_python3 else "python3"


def launch_environment(base: Mapping[str, str]) -> dict[str, str]:
    """Return the environment for `supervise`: `base`,
    and what msrun and the workers need to find and say.
    """
    root, library = str(Path(__file__).resolve().parents[3]), sysconfig.get_path("purelib")
    python_path = [base.get("PYTHONPATH", ""), "" if root == library else root]
    # msrun looks up `python` on PATH, whatever program it was itself started by.
    search_path = filter(None, dict.fromkeys([*_own_folders(), base.get("PATH", "")]))
    return {
        **base,
        "PATH": os.pathsep.join(search_path),
        "PYTHONPATH": os.pathsep.join(filter(None, python_path)),
        "PYTHONSAFEPATH": "1",  # a file json.py in the user's folder must not shadow the library's
        "PYTHONUNBUFFERED": "1",  # the last line before a kill is in the log
        # supervise reads msrun's own error lines, so they must be written, and to its output.
        "GLOG_v": min(base.get("GLOG_v", "3"), "3"),
        "GLOG_logtostderr": "1",
        # After 30 s MindSpore would blame a worker that waits for another; `hangs` sees which one.
        "MS_NODE_TIMEOUT": base.get("MS_NODE_TIMEOUT", str(24 * 3600)),
    }
