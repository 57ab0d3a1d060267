"""How long the first call takes, and what it holds: densenet121 as `train` trains it, against
networks written by hand.

    python benchmarks/compile_time.py [--repetitions 3] [--size 224] [--batch 8] [--peer FILE]

Each measurement is a fresh process without a compile cache; the sides alternate, so that what else
the machine does weighs on all alike. Ours is the step of `train`: the emitted network, a recipe's
loss, its optimizer. Peers are what people write: nested cells in TrainOneStepCell with Momentum,
with blocks that join the running concatenation (as most MindSpore code has it) or the list of all
maps (as torchvision has it). `--peer` names a Python file with a function `make()` that returns one
more network, such as MindCV's. Only ratios mean something on a shared machine; on a busy one those
of processor time say more. The goals are ratios to the quicker, or smaller, peer.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OURS, PEERS, GIVEN = "train", ("running", "list"), "peer"
GOALS = {"forward": 1.1, "forward_cpu": 1.1, "step": 1.05, "step_cpu": 1.05, "memory": 1.0}
WORDS = {
    "forward": "first forward, s",
    "forward_cpu": "first forward, s of processor time",
    "step": "first training step, s",
    "step_cpu": "first training step, s of processor time",
    "memory": "peak memory of training, GB",
}
STARTS = {"kept": "first step of a start, s", "kept_cpu": "first step of a start, s of processor"}
STARTS_GOAL = 0.25
RECIPE = "imagenet_ascend"
Row = dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(
        description="First step of densenet121, as trained and hand-written."
    )
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--size", type=int, default=224, help="pixels")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--peer", default="", help="a Python file with make() -> network")
    parser.add_argument("--side", help="measure one side in this process")
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(measure(arguments)))
        return
    sides = (OURS, *PEERS, *([GIVEN] if arguments.peer else []))
    found: dict[str, list[Row]] = {side: [] for side in sides}
    for repetition in range(arguments.repetitions):
        first = repetition % len(sides)
        for side in sides[first:] + sides[:first]:
            found[side].append(in_fresh_process(side))
    show(found)
    show_starts([start_twice() for _ in range(arguments.repetitions)])


def start_twice() -> tuple[Row, Row]:
    """Return the first steps of two processes that have one cache folder, empty for the first."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "DENSENET_CACHE": folder}
        return run_side(f"{OURS}:kept", environment), run_side(f"{OURS}:kept", environment)


def in_fresh_process(side: str) -> Row:
    """Training and forward in a process each: neither shall find what the other has compiled."""
    row: Row = {}
    for what in ("step", "forward"):
        row.update(run_side(f"{side}:{what}", os.environ))
    return row


def run_side(side: str, environment: Mapping[str, str]) -> Row:
    """Return what a process of its own measures."""
    command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    row: Row = json.loads(done.stdout.strip().splitlines()[-1])
    return row


def measure(arguments: argparse.Namespace) -> Row:
    """Return the seconds of the first forward, or of the first training step with its memory."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    from archspec.runtime import prepare

    prepare()
    import mindspore as ms
    import numpy as np

    ms.set_context(mode=ms.GRAPH_MODE)
    side, what = arguments.side.split(":")
    random = np.random.default_rng(0)
    shape = (arguments.batch, 3, arguments.size, arguments.size)
    images = ms.Tensor(random.normal(size=shape).astype(np.float32))
    labels = ms.Tensor(random.integers(0, 1000, arguments.batch).astype(np.int32))
    network = network_of(side, arguments)
    if what == "forward":
        network.set_train(False)
        start, before = time.perf_counter(), time.process_time()
        network(images).asnumpy()
        seconds = time.perf_counter() - start
        return {"forward": seconds, "forward_cpu": time.process_time() - before}
    step = training_step(side, network.set_train(True))
    if what == "kept":
        return measure_start(step, images, labels)
    start, before = time.perf_counter(), time.process_time()
    first = step(images, labels)
    (first[0] if isinstance(first, tuple) else first).asnumpy()
    seconds = {"step": time.perf_counter() - start, "step_cpu": time.process_time() - before}
    step(images, labels)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB on Linux
    return {**seconds, "memory": peak * 1024 / 1e9}


def measure_start(step: Any, images: Any, labels: Any) -> Row:
    """Return the seconds of the first step as a run takes it, with what is kept compiled, and of
    the next one, which compiles nothing.
    """
    from archspec.spec.load import load_spec
    from archspec.train.engine.compile_cache import make_cache
    from archspec.train.recipe.recipe import load_recipe

    start, before = time.perf_counter(), time.process_time()
    spec, recipe = load_spec("densenet121"), load_recipe(RECIPE)
    cache = make_cache(spec, recipe, device_target="CPU", rank=0, world=1)
    cache.call("step", step, images, labels)[0].asnumpy()
    row = {"kept": time.perf_counter() - start, "kept_cpu": time.process_time() - before}
    start, before = time.perf_counter(), time.process_time()
    cache.call("step", step, images, labels)[0].asnumpy()
    next_step = {"kept": time.perf_counter() - start, "kept_cpu": time.process_time() - before}
    return row | {f"next_{what}": seconds for what, seconds in next_step.items()}


def network_of(side: str, arguments: argparse.Namespace) -> Any:
    if side == GIVEN:
        return runpy.run_path(arguments.peer)["make"]()
    if side == OURS:
        from archspec.spec.load import load_spec
        from archspec.writers.mindspore.create_model import create_model

        sizes = [f"input.height={arguments.size}", f"input.width={arguments.size}"]
        return create_model(load_spec("densenet121", sizes))
    from handwritten import VARIANTS, HandwrittenDenseNet, ListBlock, RunningBlock

    block = RunningBlock if side == "running" else ListBlock
    return HandwrittenDenseNet(*VARIANTS["densenet121"], block_class=block)


def training_step(side: str, network: Any) -> Any:
    """Forward, backward and update as one cell, by one recipe in single precision."""
    from archspec.train.recipe.recipe import load_recipe

    recipe = load_recipe(RECIPE, ["amp=O0", "loss_scale=1.0"])
    rates = [0.1] * 100
    if side == OURS:
        from archspec.train.engine.optimizers import make_optimizer
        from archspec.train.engine.step import TrainStep

        return TrainStep(network, make_optimizer(network, recipe, rates), recipe, world=1)
    from mindspore import nn

    decay, momentum = recipe.optimizer.weight_decay, recipe.optimizer.momentum
    optimizer = nn.Momentum(network.trainable_params(), rates, momentum, decay)
    loss = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    return nn.TrainOneStepCell(nn.WithLossCell(network, loss), optimizer).set_train(True)


def show(found: dict[str, list[Row]]) -> None:
    peers = [side for side in found if side != OURS]
    for what, goal in GOALS.items():
        middle = {side: median(row[what] for row in rows) for side, rows in found.items()}
        best = min(middle[side] for side in peers)
        print(f"{WORDS[what]}, median of {len(found[OURS])}:")
        for side, value in middle.items():
            each = ", ".join(f"{row[what]:.2f}" for row in found[side])
            print(f"  {side:8} {value:6.2f}   ({each})   x {value / best:.2f}")
        ratio = middle[OURS] / best
        print(f"  ratio {ratio:.2f}, goal {goal}: {'held' if ratio <= goal else 'MISSED'}")


def show_starts(found: Sequence[tuple[Row, Row]]) -> None:
    for what, words in STARTS.items():
        first, second = (median(rows[number][what] for rows in found) for number in (0, 1))
        ratio = second / first
        verdict = "held" if ratio <= STARTS_GOAL else "MISSED"
        print(f"{words}, median of {len(found)}:")
        print(
            f"  first {first:.2f}, second {second:.2f}: {ratio:.2f}, goal {STARTS_GOAL}: {verdict}"
        )
        step = median(row[f"next_{what}"] for _, row in found)
        print(f"  a step alone {step:.2f}: {step / first:.2f} of the first")


if __name__ == "__main__":
    main()
