"""How long MindSpore takes for the first call: the emitted densenet121 against one written by hand.

    python benchmarks/compile_time.py [--repetitions 3] [--size 64] [--batch 4]

Each measurement is a fresh process without a compile cache; the sides alternate, so that what else
the machine does weighs on all alike. Two peers stand beside ours: blocks that join the running
concatenation (as most MindSpore code has it) and blocks that join the list of all maps (as
torchvision has it). Only ratios mean something on a shared machine;
the goal is at most 1.1 against the quicker peer.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SIDES = ("emitted", "running", "list")
GOAL = 1.1


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Compile time of densenet121, emitted and hand-written."
    )
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--size", type=int, default=64, help="pixels")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--side", choices=SIDES, help="measure one side in this process")
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(measure(arguments.side, arguments.size, arguments.batch)))
        return
    found: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for repetition in range(arguments.repetitions):
        for side in SIDES[repetition % 3 :] + SIDES[: repetition % 3]:
            found[side].append(in_fresh_process(side, arguments.size, arguments.batch))
    show(found)


def in_fresh_process(side: str, size: int, batch: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--side", side, "--size", str(size), "--batch", str(batch)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def measure(side: str, size: int, batch: int) -> dict[str, float]:
    """Return the seconds of the first forward and of the first training step,
    each of a fresh network.
    """
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    from archspec.runtime import prepare

    prepare()
    import mindspore as ms
    import numpy as np

    ms.set_context(mode=ms.GRAPH_MODE)
    random = np.random.default_rng(0)
    images = ms.Tensor(random.normal(size=(batch, 3, size, size)).astype(np.float32))
    labels = ms.Tensor(random.integers(0, 1000, batch).astype(np.int32))
    network = network_of(side).set_train(False)
    start = time.perf_counter()
    network(images).asnumpy()
    forward = time.perf_counter() - start
    step = training_step(network_of(side).set_train(True))
    start = time.perf_counter()
    step(images, labels).asnumpy()
    return {"forward": forward, "training step": time.perf_counter() - start}


def network_of(side: str) -> Any:
    if side == "emitted":
        from archspec.writers.mindspore.load import create_model

        return create_model("densenet121")
    from handwritten import VARIANTS, HandwrittenDenseNet, ListBlock, RunningBlock

    block = RunningBlock if side == "running" else ListBlock
    return HandwrittenDenseNet(*VARIANTS["densenet121"], block_class=block)


def training_step(network: Any) -> Any:
    """Forward, backward and update as one cell."""
    from mindspore import nn

    optimizer = nn.Momentum(
        network.trainable_params(), learning_rate=0.1, momentum=0.9, weight_decay=1e-4
    )
    loss = nn.CrossEntropyLoss()
    return nn.TrainOneStepCell(nn.WithLossCell(network, loss), optimizer).set_train(True)


def show(found: dict[str, list[dict[str, float]]]) -> None:
    for what in ("forward", "training step"):
        seconds = {side: median(row[what] for row in rows) for side, rows in found.items()}
        quicker = min(seconds["running"], seconds["list"])
        ratio = seconds["emitted"] / quicker
        print(f"first {what}, median seconds of {len(found['emitted'])}:")
        for side, value in seconds.items():
            each = ", ".join(f"{row[what]:.2f}" for row in found[side])
            print(f"  {side:8} {value:6.2f}   ({each})   x {value / quicker:.2f}")
        print(f"  ratio {ratio:.2f}, goal {GOAL}: {'held' if ratio <= GOAL else 'MISSED'}")


if __name__ == "__main__":
    main()
