"""How fast is densenet121 where it is deployed: in MindSpore, ONNX Runtime and OpenVINO?

    python benchmarks/deploy.py [--runs 3] [--mindcv DIR] [--torch PYTHON] [--quick]

All sides compute the same images, 224 px, at batch 1 and 8: MindSpore with MindCV's network
(`--mindcv`, a checkout; without one, a network written by hand as MindCV writes its own), with ours
as `validate` runs it, and with the emitted network as it is; what `densenet export` writes, in each
engine, and in smaller numbers (`--precision`) where the engine has them; PyTorch eager, and what
torch.onnx.export writes of it, in the same engines (`--torch`, a Python that has torch). Weights
are drawn, and images to calibrate int8 by: they change no time. Each side is a process of its own
and sides take turns. Printed are images a second, the median and the 99th percentile of a call in
ms, the peak of the process in MB, and ratios, with MISSED where one is below its goal.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "benchmarks")]
SIDE, BATCHES = 224, (1, 8)
SHAPE = (32, (6, 12, 24, 16), 64)
"""Growth rate, layers of each block, channels of the stem: for whom knows no spec."""
CALLS, QUICK_CALLS = 60, 8
GOAL_OF_MINDSPORE, GOAL_OF_TORCH, GOAL_OF_INT8 = 5.0, 1.0, 1.5
"""Of the quicker engine beside the network by hand in MindSpore; of ours beside PyTorch's export in
the same engine; of int8 beside float32 in one of them."""
PRECISIONS = {"float16": 18, "bfloat16": 22, "int8": 18}
"""With the version of ONNX's operators."""
PRECISIONS_IN_ENGINES = (
    ("float16", "onnxruntime"),
    ("float16", "openvino"),
    ("bfloat16", "openvino"),  # ONNX Runtime has no convolution of it on CPUs
    ("int8", "onnxruntime"),
    ("int8", "openvino"),
)
CALIBRATION_IMAGES = 8

Run = Callable[[], Any]


class Figures(NamedTuple):
    """Of one side: seconds of a call, and the peak of its process in MB."""

    median: float
    slowest: float
    """The 99th percentile."""
    megabytes: float


def main() -> None:
    parser = argparse.ArgumentParser(description="Images a second where a network is deployed.")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--mindcv", type=Path, help="a checkout of MindCV")
    parser.add_argument("--torch", type=Path, help="a Python with torch")
    parser.add_argument("--quick", action="store_true", help="one run of a few calls")
    parser.add_argument("--of", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.of:
        measure(asked)
        return
    with tempfile.TemporaryDirectory() as name:
        asked.folder = Path(name)
        write_files(asked)
        for batch in BATCHES:
            show(batch, measure_in_turn(batch, asked))


def write_files(asked: Any) -> None:
    """Write what the engines run: ours, and PyTorch's where it is at hand."""
    makers = {"write ours": sys.executable, "write torch's": asked.torch}
    for maker, python in makers.items():
        if python is not None:
            run_side(maker, 1, python, asked)


def measure_in_turn(batch: int, asked: Any) -> dict[str, Figures]:
    """Return each side's figures: of its runs, the one with the smallest median."""
    found: dict[str, list[Figures]] = {}
    sides = [side for side in SIDES if not side.startswith("write")]
    sides = [side for side in sides if asked.torch or "torch" not in side]
    for _ in range(1 if asked.quick else asked.runs):
        for side in sides:
            python = asked.torch if side == "torch eager" else sys.executable
            told = run_side(side, batch, python, asked)
            found.setdefault(side, []).append(Figures(*json.loads(told)))
    return {side: min(figures) for side, figures in found.items()}


def run_side(side: str, batch: int, python: Any, asked: Any) -> str:
    """Return the last line that a side's process prints."""
    words = ["--of", side, "--batch", str(batch), "--folder", str(asked.folder)]
    words += ["--quick"] if asked.quick else []
    words += ["--mindcv", str(asked.mindcv)] if asked.mindcv else []
    command = [str(python), __file__, *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return (done.stdout.splitlines() or [""])[-1]


def measure(asked: Any) -> None:
    """Measure one side in this process, and print its figures."""
    run = SIDES[asked.of](asked)
    if run is not None:
        for _ in range(3):
            run()
        seconds = []
        for _ in range(QUICK_CALLS if asked.quick else CALLS):
            began = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - began)
        seconds.sort()
        median, slowest = seconds[len(seconds) // 2], seconds[int(0.99 * len(seconds))]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps([median, slowest, peak]), flush=True)
    os._exit(0)  # MindSpore's cells complain while Python ends


def show(batch: int, found: Mapping[str, Figures]) -> None:
    """Print a table, and the ratios that are wanted."""
    print(f"densenet121, {SIDE} px, batch {batch}")
    print(f"{'':30} images/s  p50 ms  p99 ms  peak MB")
    for side, figures in found.items():
        speed, ms = batch / figures.median, 1000 * figures.median
        line = f"{side:30} {speed:8.1f} {ms:7.1f} {1000 * figures.slowest:7.1f}"
        print(f"{line} {figures.megabytes:8.0f}")
    ours = {engine: found[f"our ONNX in {engine}"].median for engine in ("onnxruntime", "openvino")}
    by_hand = found["MindSpore, by hand"].median
    tell("the quicker engine beside MindSpore", by_hand / min(ours.values()), GOAL_OF_MINDSPORE)
    for engine, seconds in ours.items():
        theirs = found.get(f"torch's ONNX in {engine}")
        if theirs is not None:
            tell(f"ours beside torch's in {engine}", theirs.median / seconds, GOAL_OF_TORCH)
    for precision, engine in PRECISIONS_IN_ENGINES:
        ratio = ours[engine] / found[f"our {precision} in {engine}"].median
        goal = GOAL_OF_INT8 if precision == "int8" else 0.0
        tell(f"{precision} beside float32 in {engine}", ratio, goal)
    if "torch eager" not in found:
        print("torch absent: --torch PYTHON")


def tell(what: str, ratio: float, goal: float) -> None:
    """Print a ratio, and whether a goal is held where there is one."""
    verdict = f", goal {goal}: {'held' if ratio >= goal else 'MISSED'}" if goal else ""
    print(f"{what}: {ratio:.2f} x{verdict}")


# ---- the sides


def make_images(batch: int) -> Any:
    import numpy as np

    return np.random.default_rng(0).normal(size=(batch, 3, SIDE, SIDE)).astype(np.float32)


def write_ours(asked: Any) -> None:
    import oracle

    from archspec.graph.build import build_graph
    from archspec.spec.load import load_spec
    from archspec.writers.onnx.halves import HALVES, halve_numbers
    from archspec.writers.onnx.model import make_onnx
    from archspec.writers.onnx.onnx_files import save_onnx
    from archspec.writers.onnx.quantise import quantise

    graph = build_graph(load_spec("densenet121"))
    weights = oracle.random_parameters(graph.ops.values(), 0)
    file = asked.folder / "ours.onnx"
    save_onnx(make_onnx(graph, weights), file)
    for precision, opset in PRECISIONS.items():
        if precision in HALVES:
            model = make_onnx(graph, weights, opset=opset)
            halve_numbers(model, precision)
        else:
            model = quantise(file, iter([make_images(CALIBRATION_IMAGES)]))
        save_onnx(model, asked.folder / f"{precision}.onnx")


def write_torchs(asked: Any) -> None:
    import torch
    from torch_densenet import make_densenet

    torch.manual_seed(0)
    network, images = make_densenet(*SHAPE, is_cifar=False).eval(), torch.randn(2, 3, SIDE, SIDE)
    file = asked.folder / "torch.onnx"
    batch = {"images": {0: "batch"}}
    names = {"input_names": ["images"], "dynamic_axes": batch, "opset_version": 18}
    torch.onnx.export(network, (images,), str(file), dynamo=False, **names)


def run_mindspore(asked: Any, make: Callable[[], Any]) -> Run:
    from archspec.runtime import prepare

    prepare()
    import mindspore as ms

    ms.set_context(mode=ms.GRAPH_MODE)
    network, images = make(), ms.Tensor(make_images(asked.batch))
    network.set_train(False)
    return lambda: network(images).asnumpy()


def run_by_hand(asked: Any) -> Run:
    def make() -> Any:
        if asked.mindcv is None:
            from handwritten import HandwrittenDenseNet, RunningBlock

            return HandwrittenDenseNet(*SHAPE, 1000, RunningBlock)
        sys.path.insert(0, str(asked.mindcv))
        from mindcv.models.densenet import DenseNet

        growth_rate, blocks, stem = SHAPE
        return DenseNet(growth_rate=growth_rate, block_config=blocks, num_init_features=stem)

    return run_mindspore(asked, make)


def run_emitted(asked: Any) -> Run:
    from archspec.writers.mindspore.create_model import create_model

    return run_mindspore(asked, lambda: create_model("densenet121"))


def run_folded(asked: Any) -> Run:
    from archspec.spec.load import load_spec
    from archspec.train.engine.folded_network import make_folded_network
    from archspec.writers.mindspore.create_model import create_model

    def make() -> Any:
        parameters = create_model("densenet121").get_parameters()
        tensors = {parameter.name: parameter.asnumpy() for parameter in parameters}
        return make_folded_network(load_spec("densenet121"), tensors)

    return run_mindspore(asked, make)


def run_in(engine: Any, name: str) -> Callable[[Any], Run]:
    def run(asked: Any) -> Run:
        from archspec.train.trained.engines import load_network

        network, images = load_network(asked.folder / name, engine), make_images(asked.batch)
        return lambda: network.compute(images)

    return run


def run_torch(asked: Any) -> Run:
    import torch
    from torch_densenet import make_densenet

    torch.manual_seed(0)
    network = make_densenet(*SHAPE, is_cifar=False).eval()
    images = torch.from_numpy(make_images(asked.batch))

    def judge() -> Any:
        with torch.inference_mode():
            return network(images).numpy()

    return judge


SIDES: Mapping[str, Callable[[Any], Run | None]] = {
    "write ours": write_ours,
    "write torch's": write_torchs,
    "MindSpore, by hand": run_by_hand,
    "MindSpore, the emitted network": run_emitted,
    "MindSpore, as validate": run_folded,
    "our ONNX in onnxruntime": run_in("onnxruntime", "ours.onnx"),
    "our ONNX in openvino": run_in("openvino", "ours.onnx"),
    **{
        f"our {precision} in {engine}": run_in(engine, f"{precision}.onnx")
        for precision, engine in PRECISIONS_IN_ENGINES
    },
    "torch eager": run_torch,
    "torch's ONNX in onnxruntime": run_in("onnxruntime", "torch.onnx"),
    "torch's ONNX in openvino": run_in("openvino", "torch.onnx"),
}


if __name__ == "__main__":
    main()
