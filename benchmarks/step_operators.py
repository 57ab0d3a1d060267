"""Which operators take a training step's time, ours and MindCV's side by side?

    python benchmarks/step_operators.py [--steps 5] [--mindcv DIR]

densenet121 at 224 px, batch 8, each side as `throughput.py` trains it, profiled by MindSpore's own
profiler in a process of its own. Calls and milliseconds are of one step; what a step takes by the
clock beyond its operators is the last row.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from throughput import CASES, ROOT, SIDES, Run

CASE = "train densenet121"
SHOWN = 14


def main() -> None:
    parser = argparse.ArgumentParser(description="Operators of a training step, ours and theirs.")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--mindcv", type=Path, help="a checkout of MindCV")
    parser.add_argument("--of", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.of:
        run = SIDES[asked.of](CASES[CASE], asked.mindcv)
        print(json.dumps(profile_steps(run, asked.steps)), flush=True)
        os._exit(0)  # MindSpore's cells complain while Python ends
    show(measure("ours", asked), measure("theirs", asked), asked.mindcv is not None)


def measure(side: str, asked: Any) -> dict[str, Any]:
    words = ["--of", side, "--steps", str(asked.steps)]
    words += ["--mindcv", str(asked.mindcv)] if asked.mindcv else []
    command = [sys.executable, __file__, *words]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def profile_steps(run: Run, steps: int) -> dict[str, Any]:
    """Return milliseconds of a step by the clock, and calls and milliseconds by operator."""
    sys.path.insert(0, str(ROOT))
    from mindspore import profiler

    from archspec.train.monitoring.operator_times import read_operator_times

    for _ in range(2):
        run()
    with tempfile.TemporaryDirectory() as folder:
        profile = profiler.profile(
            start_profile=False, on_trace_ready=profiler.tensorboard_trace_handler(folder)
        )
        profile.start()
        began = time.perf_counter()
        for _ in range(steps):
            run()
        seconds = time.perf_counter() - began
        profile.stop()
        rows = read_operator_times(Path(folder), steps)
    table = {row.operator: (row.calls, row.milliseconds) for row in rows}
    return {"clock": seconds * 1000 / steps, "operators": table}


def show(ours: dict[str, Any], theirs: dict[str, Any], is_mindcv: bool) -> None:
    """Print both tables beside each other, by what they take of our step."""
    print(f"theirs is {'MindCV' if is_mindcv else 'written by hand as MindCV writes its own'}")
    print(f"{'operator':24} {'ours':>6} {'ms':>9} {'theirs':>8} {'ms':>9}   ours to theirs")
    mine, others = ours["operators"], theirs["operators"]
    spent = {
        name: mine.get(name, (0, 0))[1] + others.get(name, (0, 0))[1] for name in mine | others
    }
    names = sorted(spent, key=lambda name: -spent[name])
    for name in names[:SHOWN]:
        show_row(name, mine.get(name, (0, 0)), others.get(name, (0, 0)))
    show_row("others", sum_rows(mine, names[SHOWN:]), sum_rows(others, names[SHOWN:]))
    left = (0, ours["clock"] - sum_rows(mine, names)[1])
    right = (0, theirs["clock"] - sum_rows(others, names)[1])
    show_row("outside operators", left, right)
    show_row("a step by the clock", (0, ours["clock"]), (0, theirs["clock"]))


def sum_rows(table: dict[str, tuple[float, float]], names: list[str]) -> tuple[float, float]:
    rows = [table[name] for name in names if name in table]
    return sum(calls for calls, _ in rows), sum(spent for _, spent in rows)


def show_row(name: str, ours: tuple[float, float], theirs: tuple[float, float]) -> None:
    ratio = f"{ours[1] / theirs[1]:.2f} x" if theirs[1] > 0 else ""
    left = f"{ours[0]:6,.0f} {ours[1]:9,.1f}"
    print(f"{name:24} {left} {theirs[0]:8,.0f} {theirs[1]:9,.1f}   {ratio}")


if __name__ == "__main__":
    main()
