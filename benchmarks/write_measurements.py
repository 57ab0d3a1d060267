"""Run the measurements, and write what they print into docs/measurements.md.

    python benchmarks/write_measurements.py [--mindcv DIR] [--torch PYTHON] [--photos DIR]
                                            [--only SCRIPT ...]

Those of `make bench` took 32 minutes with all peers, on two cores that did nothing else; what takes
hours (truth, kills, CIFAR) is `make bench-long`, whose figures stand in the guide. The page has
each command, how long it took and its very words: MISSED where a ratio falls short of its goal. A
peer that was not given is said to be absent. What `--only` leaves out stays as it is, with its
date, if the page is of this machine and these versions; else it is said not to be measured.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from archspec.files import write_atomic

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "measurements.md"
PACKAGES = (
    "densenet-archspec",
    "mindspore",
    "numpy",
    "pillow",
    "opencv-python-headless",
    "networkx",
)
MEASUREMENTS = {
    "Start-up": ("start_up.py",),
    "The compiler": ("graph_scaling.py",),
    "Certificates": ("certificate.py",),
    "Batches of images": ("loader.py", "--rounds", "3", "--batches", "40"),
    "First step": ("compile_time.py", "--repetitions", "2"),
    "Images a second": ("throughput.py", "--runs", "2"),
    "Operators of a training step": ("step_operators.py",),
    "One epoch": ("one_epoch.py",),
    "Memory of training": ("memory.py",),
    "Evaluation": ("evaluation.py", "--rounds", "3"),
}
"""By title: a script of this folder, and its arguments."""
TAKES_PEERS = {
    "graph_scaling.py": ("--mindcv",),
    "throughput.py": ("--mindcv", "--torch"),
    "step_operators.py": ("--mindcv",),
    "memory.py": ("--mindcv",),
    "one_epoch.py": ("--mindcv", "--photos"),
}
"""Which peers a script has a side for."""
HEAD = """\
# Measurements

Written by `make bench` (`benchmarks/write_measurements.py`), which runs each command below by
itself; nothing here is typed by hand. Machines are noisy: ratios tell more than seconds, and MISSED
stands where one falls short of its goal. What takes hours is in the [guide](guide.md).
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure, and write docs/measurements.md.")
    parser.add_argument("--mindcv", help="a checkout of MindCV")
    parser.add_argument("--torch", help="a Python with torch")
    parser.add_argument("--photos", help="a folder of photographs, with train/ and val/")
    scripts = [command[0] for command in MEASUREMENTS.values()]
    parser.add_argument("--only", nargs="+", choices=scripts, default=scripts, help="scripts")
    asked = parser.parse_args()
    peers = {"--mindcv": asked.mindcv, "--torch": asked.torch, "--photos": asked.photos}
    machine = "\n".join(describe_machine()) + "\n"
    kept = read_sections(machine)
    parts = [HEAD, machine]
    for title, command in MEASUREMENTS.items():
        if command[0] not in asked.only:
            missing = f"## {title}\n\n`python benchmarks/{' '.join(command)}`: not measured.\n"
            parts.append(kept.get(title, missing))
            continue
        print(f"{title}: {' '.join(command)}", flush=True)
        more = []
        for flag in TAKES_PEERS.get(command[0], ()):
            more += [flag, peers[flag]] if peers[flag] else []
        parts.append(measure(title, command, more))
    write_atomic(PAGE, "\n".join(parts))
    print(f"wrote {PAGE.relative_to(ROOT)}")


def read_sections(machine: str) -> dict[str, str]:
    """Return the page's sections by title, none where it is of another machine or versions."""
    text = PAGE.read_text("utf-8") if PAGE.is_file() else ""
    head, *sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    if machine not in head:
        return {}
    found = {}
    for section in sections:
        title, _, _ = section.removeprefix("## ").partition("\n")
        found[title] = section.rstrip("\n") + "\n"
    return found


def measure(title: str, command: Sequence[str], peers: Sequence[str]) -> str:
    """Run one script, and return its section: the command, the minutes, the words it printed."""
    script, *arguments = command
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / script), *arguments, *peers],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    minutes = (time.monotonic() - began) / 60
    words = done.stdout.rstrip()
    if done.returncode:
        words += f"\nended with {done.returncode}, before it was done"
    # Where peers lie is this machine's own affair.
    shown = [*arguments, *(word for word in peers if word.startswith("--"))]
    day = f"{datetime.now(timezone.utc):%Y-%m-%d}"
    line = f"`python benchmarks/{' '.join([script, *shown])}`, {day}, {minutes:.1f} minutes"
    return f"## {title}\n\n{line}:\n\n```text\n{words}\n```\n"


def describe_machine() -> Iterator[str]:
    """Yield a list of what the figures depend on."""
    yield f"- {os.cpu_count()} cores of {read_processor()}, {platform.system()}"
    installed = []
    for name in PACKAGES:
        try:
            installed.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            installed.append(f"{name} absent")
    yield f"- Python {platform.python_version()}, {', '.join(installed)}"


def read_processor() -> str:
    """Return the processor's name as Linux tells it, else its kind."""
    file = Path("/proc/cpuinfo")
    if file.is_file():
        for line in file.read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
