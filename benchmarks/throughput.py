"""How many images a second are trained on, and judged, beside MindCV and PyTorch?

    python benchmarks/throughput.py [--runs 3] [--mindcv DIR] [--torch PYTHON] [--quick]

Ours is what `train` and `validate` run: the emitted network in the step of a recipe, and with
folded norms in evaluation. Theirs is MindCV's network in TrainOneStepCell with Momentum
(`--mindcv`, a checkout of it; without one, a network written by hand as MindCV writes its own),
both at the same setting for x86 CPUs, and torchvision's structure in PyTorch eager (`--torch`, a
Python that has torch). Each figure is a process of its own; sides take turns, so that what else the
machine does weighs on all alike; medians and ratios are printed, and MISSED where a ratio is below
its goal.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
Run = Callable[[], Any]


class Case(NamedTuple):
    """What is measured: a network at a size, in training or not, with the ratios wanted."""

    spec: str
    shape: tuple[int, tuple[int, ...], int]
    """Growth rate, layers of each block, channels of the stem: for whom knows no spec."""
    side: int
    batch: int
    is_trained: bool
    goals: Mapping[str, float | None]
    """The ratios wanted, by side; None where there is no goal."""

    @property
    def is_cifar(self) -> bool:
        return self.side == 32


OF_121, OF_BC100 = (32, (6, 12, 24, 16), 64), (12, (16, 16, 16), 24)
CASES = {
    "train densenet121": Case("densenet121", OF_121, 224, 8, True, {"theirs": 1.2, "torch": 0.9}),
    "judge densenet121": Case("densenet121", OF_121, 224, 8, False, {"theirs": 1.0, "torch": None}),
    "train densenetbc100_k12": Case(
        "densenetbc100_k12", OF_BC100, 32, 64, True, {"theirs": 1.1, "torch": None}
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Images a second, ours and theirs.")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--mindcv", type=Path, help="a checkout of MindCV")
    parser.add_argument("--torch", type=Path, help="a Python with torch")
    parser.add_argument("--quick", action="store_true", help="one run of a few steps")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    parser.add_argument("--of", choices=SIDES, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    steps = 3 if asked.quick else 8
    if asked.of:
        print(json.dumps(measure(SIDES[asked.of](CASES[asked.case], asked.mindcv), steps)))
        sys.stdout.flush()
        os._exit(0)  # MindSpore's cells complain while Python ends
    sides = ["ours", "theirs"] + (["torch"] if asked.torch else [])
    for name, case in CASES.items():
        seconds = measure_in_turn(name, sides, 1 if asked.quick else asked.runs, asked)
        show(name, case, seconds)


def measure_in_turn(name: str, sides: list[str], runs: int, asked: Any) -> dict[str, float]:
    """Return each side's median seconds of a step."""
    found: dict[str, list[float]] = {side: [] for side in sides}
    for run in range(runs):
        first = run % len(sides)
        for side in sides[first:] + sides[:first]:
            python = str(asked.torch) if side == "torch" else sys.executable
            words = ["--case", name, "--of", side, *(["--quick"] if asked.quick else [])]
            words += ["--mindcv", str(asked.mindcv)] if asked.mindcv else []
            command = [python, __file__, *words]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found[side].append(json.loads(done.stdout.splitlines()[-1]))
    return {side: statistics.median(values) for side, values in found.items()}


def show(name: str, case: Case, seconds: Mapping[str, float]) -> None:
    """Print a case: images a second of each side, and ours in relation."""
    print(f"{name}, {case.side} px, batch {case.batch}, images a second:")
    for side, value in seconds.items():
        line = f"  {side:7} {case.batch / value:7.1f}"
        if side != "ours":
            ratio, goal = value / seconds["ours"], case.goals[side]
            line += f"   ours {ratio:.2f} x"
            if goal is not None:
                line += f", goal {goal}{'' if ratio >= goal else '  MISSED'}"
        print(line, flush=True)
    if "torch" not in seconds:
        print("  torch   absent: --torch PYTHON")


def measure(run: Run, steps: int) -> float:
    """Return the median seconds of a step, the first two left out: they compile."""
    seconds = []
    for _ in range(steps + 2):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[2:])


# ---- the sides


def run_ours(case: Case, mindcv: Path | None) -> Run:
    images, labels = make_batch(case)
    from archspec.spec.load import load_spec
    from archspec.train.engine.folded_network import make_folded_network
    from archspec.train.engine.optimizers import make_optimizer
    from archspec.train.engine.step import TrainStep
    from archspec.train.recipe.recipe import load_recipe
    from archspec.writers.mindspore.create_model import create_model

    network = create_model(case.spec)
    if not case.is_trained:
        tensors = {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}
        folded = make_folded_network(load_spec(case.spec), tensors)
        return lambda: folded(images).asnumpy()
    recipe = load_recipe("imagenet_ascend", ["amp=O0", "loss_scale=1.0"])
    optimizer = make_optimizer(network, recipe, [0.1] * 100)
    step = TrainStep(network.set_train(True), optimizer, recipe, world=1)
    return lambda: step(images, labels)[0].asnumpy()


def run_theirs(case: Case, mindcv: Path | None) -> Run:
    images, labels = make_batch(case)
    from mindspore import nn

    network = make_mindcv(case, mindcv) if mindcv else make_by_hand(case)
    if not case.is_trained:
        network.set_train(False)
        return lambda: network(images).asnumpy()
    optimizer = nn.Momentum(network.trainable_params(), [0.1] * 100, 0.9, 1e-4)
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    step = nn.TrainOneStepCell(nn.WithLossCell(network, loss), optimizer).set_train(True)
    return lambda: step(images, labels).asnumpy()


def make_batch(case: Case) -> tuple[Any, Any]:
    """Images and labels, with MindSpore as the commands set it up."""
    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    from archspec.runtime import prepare

    prepare()
    import mindspore as ms
    import numpy as np

    ms.set_context(mode=ms.GRAPH_MODE)
    random = np.random.default_rng(0)
    shape = (case.batch, 3, case.side, case.side)
    images = ms.Tensor(random.normal(size=shape).astype(np.float32))
    return images, ms.Tensor(random.integers(0, 10, case.batch).astype(np.int32))


def make_mindcv(case: Case, mindcv: Path) -> Any:
    """MindCV has no network for small images: there it is the one written by hand."""
    sys.path.insert(0, str(mindcv))
    from mindcv.models.densenet import DenseNet

    if case.is_cifar:
        return make_by_hand(case)
    growth_rate, blocks, stem = case.shape
    return DenseNet(growth_rate=growth_rate, block_config=blocks, num_init_features=stem)


def make_by_hand(case: Case) -> Any:
    from handwritten import HandwrittenCifarDenseNet, HandwrittenDenseNet, RunningBlock

    if case.is_cifar:
        return HandwrittenCifarDenseNet(*case.shape, 10, RunningBlock)
    return HandwrittenDenseNet(*case.shape, 1000, RunningBlock)


def run_torch(case: Case, mindcv: Path | None) -> Run:
    import torch
    from torch_densenet import make_densenet

    torch.manual_seed(0)
    images = torch.randn(case.batch, 3, case.side, case.side)
    labels = torch.randint(0, 10, (case.batch,))
    network = make_densenet(*case.shape, is_cifar=case.is_cifar)
    if not case.is_trained:
        network.eval()

        def judge() -> Any:
            with torch.inference_mode():
                return network(images).numpy()

        return judge
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    loss = torch.nn.CrossEntropyLoss(label_smoothing=0.1)

    def train() -> float:
        optimizer.zero_grad()
        value = loss(network(images), labels)
        value.backward()
        optimizer.step()
        return float(value.detach())

    return train


SIDES: dict[str, Callable[[Case, Path | None], Run]] = {
    "ours": run_ours,
    "theirs": run_theirs,
    "torch": run_torch,
}


if __name__ == "__main__":
    main()
