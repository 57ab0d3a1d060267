"""Runs that are killed at random moments and resumed: is anything lost, and are the bits the same?

    python benchmarks/kill_resume.py [--kills 200] [--devices 1 2] [--epochs 6] [--seed 0]

A small network learns the embedded digits once without a break. Then runs of the same are started,
ended at a random moment, by SIGKILL of the whole tree of processes, by SIGTERM or by SIGINT, and
resumed, until each is through and so many have been ended in all. Every run must end with the
weights of the unbroken one, bit for bit, `last.ckpt` and `best.ckpt`, and with its figures of every
epoch; every end by a signal must say how to go on, and none may leave a process. Prints a row for
each number of devices; exits with 1 where anything was lost.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil

from archspec.weights.formats.checkpoint_digest import is_damaged

NETWORK = ("--set", "block_config=[2, 2]", "--set", "growth_rate=4")
LOADER = ("loader_images_per_second", "loader_busy")
TIMED = ("time", "seconds", "images_per_second", *LOADER)
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SECONDS_TO_END = 60
THROUGH = "Next: densenet validate"
Counts = Counter[str]


def main() -> None:
    parser = argparse.ArgumentParser(description="Runs that are killed and resumed.")
    parser.add_argument("--kills", type=int, default=200, help="for each number of devices")
    parser.add_argument("--devices", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    print(
        "| devices | runs | SIGKILL | SIGTERM | SIGINT | runs bit-equal | checkpoints damaged "
        "| signals unanswered | processes left |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    is_sound = True
    for devices in arguments.devices:
        with tempfile.TemporaryDirectory() as folder:
            counts = count_kills(
                Path(folder), devices, arguments.epochs, arguments.kills, arguments.seed
            )
        print(row_of(devices, counts), flush=True)
        is_sound &= counts["equal"] == counts["runs"]
        is_sound &= not (counts["damaged"] or counts["unanswered"] or counts["left"])
    raise SystemExit(0 if is_sound else 1)


def row_of(devices: int, counts: Counts) -> str:
    kills = " | ".join(str(counts[number.name]) for number in SIGNALS)
    faults = f"{counts['damaged']} | {counts['unanswered']} | {counts['left']}"
    return f"| {devices} | {counts['runs']} | {kills} | {counts['equal']} | {faults} |"


def count_kills(folder: Path, devices: int, epochs: int, kills: int, seed: int) -> Counts:
    """Return how many runs there were, how they were ended, and what was found."""
    start = ["train", *NETWORK, "--devices", str(devices), "--epochs", str(epochs)]
    began = time.monotonic()
    unbroken = folder / "unbroken"
    run_command([*start, "--out", str(unbroken)]).wait()
    longest = time.monotonic() - began
    expected = outcome_of(unbroken)
    rng, counts = random.Random(seed), Counter[str]()
    while sum(counts[number.name] for number in SIGNALS) < kills:
        run = folder / "broken"
        train_with_kills(start, run, longest, rng, counts)
        counts["runs"] += 1
        counts["equal"] += outcome_of(run) == expected
        shutil.rmtree(run)
    return counts


def train_with_kills(
    start: list[str], run: Path, longest: float, rng: random.Random, counts: Counts
) -> None:
    """Start a run and resume it, ended at random moments, until it is through."""
    while True:
        begun = (run / "run.json").is_file()
        command = ["train", "--resume", str(run)] if begun else [*start, "--out", str(run)]
        process = run_command(command)
        try:
            process.communicate(timeout=rng.uniform(0, longest))
        except subprocess.TimeoutExpired:
            end(process, rng.choice(SIGNALS), counts)
            counts["left"] += len(processes_of(run))
            checkpoints = (run / "checkpoints").glob("[!.]*.ckpt")
            counts["damaged"] += sum(map(is_damaged, checkpoints))
            continue
        if process.returncode == 0:
            return
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")


def end(process: subprocess.Popen[str], number: signal.Signals, counts: Counts) -> None:
    if number == signal.SIGKILL:
        counts[number.name] += 1
        kill_tree(process)
        return
    process.send_signal(number)
    output, _ = process.communicate(timeout=SECONDS_TO_END)
    if THROUGH in output:  # before the signal came
        return
    counts[number.name] += 1
    is_told = "--resume" in output or "images to train on" not in output  # not begun to train
    # A shell calls both the same; Python itself ends by the signal before the command has begun.
    codes = (128 + number, -number)
    if process.returncode not in codes or not is_told:
        print(f"{number.name}: exit code {process.returncode}: {output}", file=sys.stderr)
        counts["unanswered"] += 1


def kill_tree(process: subprocess.Popen[str]) -> None:
    """Kill the processes that a command started, and it; the kernel ends what it started then."""
    with suppress(psutil.Error):
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
    process.kill()
    process.communicate()
    time.sleep(1)


def run_command(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "densenet_cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # Ctrl-C must reach it even where this script runs in the background.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def processes_of(run: Path) -> list[int]:
    """Return the processes whose command names the run."""
    found = psutil.process_iter(["cmdline", "status"])
    return [
        process.pid
        for process in found
        if str(run) in (process.info["cmdline"] or [])
        and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


def outcome_of(run: Path) -> tuple[object, ...]:
    """What must be the same: the bytes of the checkpoints, and the figures of each epoch."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    figures = {}
    for line in lines:
        if line["event"] in ("epoch", "end"):
            kept = {key: value for key, value in line.items() if key not in TIMED}
            figures[line["event"], line.get("epoch")] = kept
    names = ("last.ckpt", "best.ckpt")
    return figures, *((run / "checkpoints" / name).read_bytes() for name in names)


if __name__ == "__main__":
    main()
