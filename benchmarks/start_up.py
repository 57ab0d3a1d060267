"""How long does a command take to start, beside a bare typer app with as many commands?

    python benchmarks/start_up.py [--runs 9]

The bare app imports typer, rich, pydantic and yaml, and prints its help; another imports networkx
too. Each command is run in turn with both, so that all meet the same machine; medians of processor
time and their ratios are printed, and MISSED where a ratio is above its goal.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

BARE = """
import typer, rich, pydantic, yaml{more}

app = typer.Typer()


def command(name: str = "x", number: int = 1) -> None:
    "Do something."


for number in range({commands}):
    app.command(f"command{number}")(command)
app()
"""
OURS = {
    "--help": ("bare", 1.5),
    "train --help": ("bare", 1.5),
    "check densenet121": ("networkx", 2.0),
    "list": ("networkx", 2.0),
    "inspect densenet201": ("networkx", 2.0),
}
"""What is typed, the app it is compared with, and the ratio that is wanted."""


def main() -> None:
    parser = argparse.ArgumentParser(description="How long does a command take to start?")
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        commands = {
            "bare": write_bare(Path(folder) / "bare.py", ""),
            "networkx": write_bare(Path(folder) / "with_networkx.py", ", networkx"),
        }
        for words in OURS:
            commands[words] = [sys.executable, "-m", "densenet_cli", *words.split()]
        seconds = measure(commands, runs)
    print(f"median of {runs} runs, s of the processor: bare {seconds['bare']:.3f}, ", end="")
    print(f"with networkx {seconds['networkx']:.3f}")
    for words, (peer, goal) in OURS.items():
        ratio = seconds[words] / seconds[peer]
        verdict = "" if ratio <= goal else "  MISSED"
        print(f"densenet {words:20} {seconds[words]:.3f} s = {ratio:.2f} x {peer}{verdict}")


def write_bare(file: Path, more: str) -> list[str]:
    """Write an app with as many commands as ours; return what runs it."""
    from densenet_cli.app import COMMANDS

    text = BARE.replace("{more}", more).replace("{commands}", str(len(COMMANDS)))
    file.write_text(text)
    return [sys.executable, str(file), "--help"]


def measure(commands: dict[str, list[str]], runs: int) -> dict[str, float]:
    """Return the median seconds of each command, run in turn; the first round is left out."""
    found: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(runs + 1):
        for name, command in commands.items():
            found[name].append(run_command(command))
    return {name: statistics.median(seconds[1:]) for name, seconds in found.items()}


def run_command(command: list[str]) -> float:
    """Return what the processors spend on a command."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = status
    if status:
        raise SystemExit(f"{' '.join(command[1:])} ended with {status}")
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
