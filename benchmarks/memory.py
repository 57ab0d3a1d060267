"""How much memory does training hold, and what does it cost to hold less, beside MindCV?

    python benchmarks/memory.py [--runs 1] [--batch 32] [--size 224] [--mindcv DIR] [--steps 3]

densenet121 as `train` trains it, with each kind of `recompute`, and MindCV's network in
TrainOneStepCell with Momentum (`--mindcv`, a checkout of it; without one, a network written by hand
as MindCV writes its own). Each figure is a process of its own, without a compile cache; sides take
turns, so that what else the machine does weighs on all alike. Memory is the process's peak, with
Python, MindSpore and what it compiles; a step is the processor's time of all threads, which other
programs change less than the clock's. Printed are medians and the ratios to MindCV, MISSED where
one is above its goal, and whether weights and moving statistics are those of `none`, bit for bit.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from throughput import OF_121, ROOT, Case, make_batch, run_theirs

THEIRS = "theirs"
OURS = ("none", "concat", "layer", "block")
GOALS: Mapping[str, tuple[float, float]] = {"none": (1.0, 1.2), "layer": (0.62, 1.2)}
"""The most that memory and a step may be of MindCV's."""


class Figures(NamedTuple):
    """Of one process."""

    memory: float
    """GB, at its peak."""
    step: float
    """Seconds of processor time."""
    bits: str
    """Of weights, statistics and momenta after the last step."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Memory of training, ours and theirs.")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=224, help="pixels")
    parser.add_argument("--steps", type=int, default=3, help="that are timed")
    parser.add_argument("--mindcv", type=Path, help="a checkout of MindCV")
    parser.add_argument("--of", choices=(*OURS, THEIRS), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.of:
        print(json.dumps(measure(asked)))
        sys.stdout.flush()
        os._exit(0)  # MindSpore's cells complain while Python ends
    sides = (*OURS, THEIRS)
    found: dict[str, list[Figures]] = {side: [] for side in sides}
    for run in range(asked.runs):
        first = run % len(sides)
        for side in sides[first:] + sides[:first]:
            command = [sys.executable, __file__, *sys.argv[1:], "--of", side]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found[side].append(Figures(*json.loads(done.stdout.splitlines()[-1])))
    peer = "MindCV" if asked.mindcv else "written by hand (--mindcv DIR)"
    print(f"densenet121, {asked.size} px, batch {asked.batch}; theirs: {peer}")
    show(found)


def show(found: Mapping[str, Sequence[Figures]]) -> None:
    """Print each side's medians, and ours in relation to theirs."""
    middle = {side: _median(rows) for side, rows in found.items()}
    theirs, plain = middle[THEIRS], found["none"][0].bits
    for side, figures in middle.items():
        line = f"  {side:7} {figures.memory:6.2f} GB {figures.step:7.2f} s of processor time a step"
        if side != THEIRS:
            memory, step = figures.memory / theirs.memory, figures.step / theirs.step
            line += f"   {memory:.2f} x, {step:.2f} x"
            line += _judge(memory, step, GOALS[side]) if side in GOALS else ""
            if any(row.bits != plain for row in found[side]):
                line += "  OTHER BITS"
        print(line)


def _median(rows: Sequence[Figures]) -> Figures:
    memory = statistics.median(row.memory for row in rows)
    return Figures(memory, statistics.median(row.step for row in rows), "")


def _judge(memory: float, step: float, goal: tuple[float, float]) -> str:
    missed = "  MISSED" * (memory > goal[0] or step > goal[1])
    return f", goal {goal[0]} x, {goal[1]} x{missed}"


def measure(asked: Any) -> Figures:
    """Return this process's figures."""
    case = Case("densenet121", OF_121, asked.size, asked.batch, True, {})
    network: Any = None
    if asked.of == THEIRS:
        run = run_theirs(case, asked.mindcv)
    else:
        run, network = run_ours(case, asked.of)
    seconds = []
    for _ in range(asked.steps + 1):
        began = time.process_time()
        run()
        seconds.append(time.process_time() - began)
    bits = sha256()
    for parameter in network.state() if network else ():
        bits.update(parameter.asnumpy().tobytes())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB on Linux
    # The first step compiles.
    return Figures(peak * 1024 / 1e9, statistics.median(seconds[1:]), bits.hexdigest())


def run_ours(case: Case, kind: str) -> tuple[Callable[[], Any], Any]:
    """Return what does a step, and the engine that it belongs to."""
    sys.path.insert(0, str(ROOT))
    images, labels = make_batch(case)
    from archspec.spec.load import load_spec
    from archspec.train.engine.engine import make_engine
    from archspec.train.recipe.recipe import load_recipe

    spec = load_spec(case.spec, [f"input.height={case.side}", f"input.width={case.side}"])
    settings = ["amp=O0", "loss_scale=1.0", f"batch_size={case.batch}", f"recompute={kind}"]
    recipe = load_recipe("imagenet_ascend", settings)
    engine = make_engine(spec, recipe, labels=labels.asnumpy(), batches=1_000)
    engine.network.set_train(True)
    return lambda: engine.step(images, labels)[0].asnumpy(), engine


if __name__ == "__main__":
    main()
