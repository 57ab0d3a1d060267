"""What the compiler costs: one large block beside networkx, and counting beside MindCV.

    python benchmarks/graph_scaling.py [--layers 250 500 1000 2000] [--repetitions 3]
                                       [--mindcv DIR]

A block of L layers has L(L+1)/2 direct connections. Building and verifying it stands beside what
networkx takes to hold those connections as bare edges (goal: 3 x at 1,000 layers, under 3 s and
600 MB), and `densenet build` and `inspect -o` of the same block are whole commands, start-up
included; so is `densenet lift` of its ONNX. None may cost more a connection where the block grows.
Counting densenet201 by `densenet inspect` stands beside making MindCV's network to count its
parameters (goals: 0.2 x of the time, and of the memory). Each measurement is a process of its own,
in seconds of the processor; medians, and the peak of the whole process.
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
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
GOAL_LAYERS, GOAL_SECONDS, GOAL_MEGABYTES = 1_000, 3.0, 600.0
GOAL_OF_NETWORKX, GOAL_OF_MINDCV, GOAL_OF_GROWTH = 3.0, 0.2, 1.1
SPEC = """\
input: {{height: 32, width: 32}}
stem: {{kernel: 3, stride: 1, norm: false, pool: none}}
growth_rate: 4
block_config: [{layers}]
head: {{num_classes: 10}}
"""
COMMANDS = {
    "build": ("build", "{spec}", "--no-certify", "-o", "{folder}/built"),
    "inspect -o": ("inspect", "{spec}", "-o", "{folder}/graph.html"),
    "lift": ("lift", "{folder}/net.onnx", "-o", "{folder}/lifted.yaml"),
}
"""By what is shown: the words of a command."""
COUNT_MINDCV = """\
import os, sys
sys.path.insert(0, sys.argv[1])
from mindcv.models.densenet import DenseNet
network = DenseNet(growth_rate=32, block_config=(6, 12, 48, 32), num_init_features=64)
print(sum(parameter.size for parameter in network.get_parameters()), flush=True)
os._exit(0)  # MindSpore's cells complain while Python ends
"""


class Cost(NamedTuple):
    """Of a process: seconds of the processor, and its peak memory in MB."""

    seconds: float
    megabytes: float


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of building and verifying one large block.")
    parser.add_argument("--layers", type=int, nargs="+", default=[250, 500, 1_000, 2_000])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--mindcv", type=Path, help="a checkout of MindCV")
    parser.add_argument("--one", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path, nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.write:
        write_onnx(*asked.write)
        return
    if asked.one:
        print(json.dumps(PARTS[asked.one](asked.layers[0])))
        return
    show_block(asked.layers, asked.repetitions)
    for name, words in COMMANDS.items():
        show_command(name, words, asked.layers, asked.repetitions)
    show_count(asked.mindcv, asked.repetitions)


def show_block(sizes: Sequence[int], repetitions: int) -> None:
    """Print a row for each size of a block, and how the cost of a connection grows."""
    print("layers  connections  build + verify s  peak MB  us / connection  networkx s  ratio")
    costs = []
    for layers in sizes:
        ours = [run_part("block", layers) for _ in range(repetitions)]
        theirs = [run_part("edges", layers) for _ in range(repetitions)]
        seconds, peak = take_medians(ours)
        bare = take_medians(theirs).seconds
        connections = count_connections(layers)
        costs.append(seconds / connections)
        left = f"{layers:6,}  {connections:11,}  {seconds:16.2f}  {peak:7.0f}"
        print(f"{left}  {costs[-1] * 1e6:15.2f}  {bare:10.2f}  {seconds / bare:5.2f}", flush=True)
        if layers == GOAL_LAYERS:
            is_held = seconds < min(GOAL_SECONDS, GOAL_OF_NETWORKX * bare) and peak < GOAL_MEGABYTES
            wanted = f"< {GOAL_SECONDS} s, < {GOAL_MEGABYTES:.0f} MB, < {GOAL_OF_NETWORKX} x"
            print(f"        goal {wanted}: {'held' if is_held else 'MISSED'}")
    show_growth(costs)


def show_command(name: str, words: Sequence[str], sizes: Sequence[int], repetitions: int) -> None:
    """Print what a command costs at each size of a block."""
    costs = []
    shown = []
    for layers in sizes:
        cost = take_medians([run_command(words, layers) for _ in range(repetitions)])
        costs.append(cost.seconds / count_connections(layers))
        shown.append(f"{layers:,}: {cost.seconds:.2f} s, {cost.megabytes:.0f} MB")
    print(f"densenet {name}  {'   '.join(shown)}")
    show_growth(costs)


def show_growth(costs: Sequence[float]) -> None:
    """Print how the cost of a connection in the largest block is to that in the one before."""
    if len(costs) < 2:
        return
    growth = costs[-1] / costs[-2]
    verdict = "held" if growth <= GOAL_OF_GROWTH else "MISSED"
    print(
        f"        a connection of the largest block, to one of the next: {growth:.2f} x: {verdict}"
    )


def show_count(mindcv: Path | None, repetitions: int) -> None:
    """Print what counting densenet201 costs, beside MindCV's network made for it."""
    command = [sys.executable, "-m", "densenet_cli", "inspect", "densenet201"]
    ours = take_medians([run_process(command) for _ in range(repetitions)])
    print(f"counting densenet201: {ours.seconds:.2f} s, {ours.megabytes:.0f} MB")
    if mindcv is None:
        print("        MindCV's network absent: --mindcv DIR")
        return
    theirs = take_medians(
        [
            run_process([sys.executable, "-c", COUNT_MINDCV, str(mindcv.resolve())])
            for _ in range(repetitions)
        ]
    )
    time_ratio = ours.seconds / theirs.seconds
    memory_ratio = ours.megabytes / theirs.megabytes
    verdict = "held" if max(time_ratio, memory_ratio) <= GOAL_OF_MINDCV else "MISSED"
    print(
        f"        MindCV's network {theirs.seconds:.2f} s, {theirs.megabytes:.0f} MB: "
        f"{time_ratio:.2f} x and {memory_ratio:.2f} x, goal {GOAL_OF_MINDCV}: {verdict}"
    )


def count_connections(layers: int) -> int:
    return layers * (layers + 1) // 2


def take_medians(costs: Sequence[Cost]) -> Cost:
    return Cost(median(cost.seconds for cost in costs), median(cost.megabytes for cost in costs))


def run_part(part: str, layers: int) -> Cost:
    """Return what a part costs, imports left aside, in a process of its own."""
    command = [sys.executable, __file__, "--one", part, "--layers", str(layers)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return Cost(*json.loads(done.stdout))


def run_command(words: Sequence[str], layers: int) -> Cost:
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / f"block{layers}.yaml"
        spec.write_text(SPEC.format(layers=layers))
        if words[0] == "lift":
            # By a process of its own: Linux takes the peak of who starts a command for its peak.
            written = ["--write", str(spec), f"{folder}/net.onnx"]
            subprocess.run([sys.executable, __file__, *written], check=True)
        filled = [word.format(spec=spec, folder=folder) for word in words]
        return run_process([sys.executable, "-m", "densenet_cli", *filled])


def write_onnx(spec: Path, file: Path) -> None:
    """Write what is lifted, as `densenet export` does, with weights that are drawn."""
    import oracle

    from archspec.graph.build import build_graph
    from archspec.spec.load import load_spec
    from archspec.writers.onnx.model import make_onnx
    from archspec.writers.onnx.onnx_files import save_onnx

    graph = build_graph(load_spec(str(spec)))
    weights = oracle.random_parameters(graph.ops.values(), 0)
    save_onnx(make_onnx(graph, weights), file)


def run_process(command: Sequence[str]) -> Cost:
    """Run a whole command; its peak is asked of the process itself, not of all that ever ran."""
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command[1:])} ended with {status}")
    child.returncode = 0
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)  # Linux gives KB


# ---- what a process of its own measures


def measure_block(layers: int) -> Cost:
    """Build a block and verify it."""
    sys.path.insert(0, str(ROOT))
    from archspec.graph.build import build_graph
    from archspec.spec.spec import Spec
    from archspec.verifiers.verify import verify

    spec = Spec.model_validate(
        {"growth_rate": 12, "blocks": [{"layers": layers}], "input": {"height": 32, "width": 32}}
    )
    began = time.process_time()
    faults = verify(build_graph(spec))
    seconds = time.process_time() - began
    assert not faults, faults
    return Cost(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def measure_edges(layers: int) -> Cost:
    """Hold the same connections as edges of networkx, with nothing else to them."""
    import networkx

    began = time.process_time()
    graph = networkx.DiGraph()
    for layer in range(1, layers + 1):
        graph.add_edges_from((source, layer) for source in range(layer))
    seconds = time.process_time() - began
    assert graph.number_of_edges() == count_connections(layers)
    return Cost(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


PARTS: dict[str, Callable[[int], Cost]] = {"block": measure_block, "edges": measure_edges}


if __name__ == "__main__":
    main()
