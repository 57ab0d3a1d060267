"""The first interpreter of `tests/warm_process.py`: imports all of ours and what it is told, then
forks for each command that comes.
"""

import gc
import importlib
import json
import os
import pkgutil
import runpy
import socket
import sys
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import archspec
import densenet_cli
from archspec.runtime import prepare

MOST_BYTES = 128 * 1024


def main(number: int, modules: Iterable[str]) -> None:
    """Import these and ours, and fork; what is forked ends as the command that it was told."""
    with socket.socket(fileno=number) as line:
        prepare()
        for name in modules:
            importlib.import_module(name)
        for package in (archspec, densenet_cli):
            import_all(package.__path__, f"{package.__name__}.")
        # What is shared is not looked through by each child, which would copy all of it.
        gc.collect()
        gc.freeze()
        while is_parent(line):
            pass
    runpy.run_module("densenet_cli", run_name="__main__", alter_sys=True)


def import_all(path: Iterable[str], prefix: str) -> None:
    """Import what a package holds; what cannot be imported a command that needs it will tell."""
    for module in pkgutil.walk_packages(path, prefix):
        if not module.name.endswith("__main__"):
            with suppress(Exception):
                importlib.import_module(module.name)


def is_parent(line: socket.socket) -> bool:
    """Wait for a command and fork for it; in the parent, wait for its end and tell it."""
    message, streams, _, _ = socket.recv_fds(line, MOST_BYTES, 2)
    if not message:
        raise SystemExit
    child = os.fork()
    if not child:
        become(json.loads(message), streams)
        return False
    for stream in streams:
        os.close(stream)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    line.send(json.dumps(code).encode())
    return True


def become(told: dict[str, Any], streams: list[int]) -> None:
    """Take over the streams, the folder, the environment and the words of a command."""
    for number, stream in enumerate(streams, 1):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(told["folder"])
    os.environ.clear()
    os.environ.update(told["environment"])
    sys.path[0] = told["folder"]
    sys.argv[:] = ["densenet", *told["words"]]


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
