"""What does a certificate cost, beside the export that it needs anyway?

    python benchmarks/certificate.py [--repetitions 3]

Exporting is MindSpore's own: the emitted cells are compiled and written as MINDIR. Reading that
file back, comparing it and writing the certificate stand beside it (goal: one second more); then
the whole of `densenet build` with an empty cache folder, and a second time with what the first one
kept, beside `--no-certify` (goal: 1.1 x). One block of 400 layers has 80,200 direct connections
(goal: 60 s for the first command). Medians; MISSED where a goal is.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
GOAL_MORE, GOAL_AGAIN, GOAL_LARGE = 1.0, 1.1, 60.0
LARGE = """\
input: {height: 32, width: 32}
stem: {kernel: 3, stride: 1, norm: false, pool: none}
growth_rate: 4
block_config: [400]
head: {num_classes: 10}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="What a certificate costs.")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure_parts(asked.one)), flush=True)
        os._exit(0)  # MindSpore's cells complain while Python ends
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder) / "large.yaml"
        large.write_text(LARGE)
        show("densenet121", "densenet121", asked.repetitions)
        show("400 layers", str(large), 1, is_large=True)


def show(title: str, spec: str, repetitions: int, is_large: bool = False) -> None:
    """Print what a network's certificate costs."""
    parts = [run_parts(spec) for _ in range(repetitions)]
    export = median(part["export"] for part in parts)
    more = median(part["more"] for part in parts)
    judged = "" if is_large else f": {judge(more <= GOAL_MORE)}"
    print(f"{title}: export {export:.2f} s, certificate {more:.2f} s more{judged}", flush=True)
    first, again, bare = [], [], []
    for _ in range(repetitions):
        with tempfile.TemporaryDirectory() as folder:
            first.append(run_build(spec, folder, "first"))
            again.append(run_build(spec, folder, "again"))
            bare.append(run_build(spec, folder, "bare", "--no-certify"))
    whole, ratio = median(first), median(again) / median(bare)
    judged = f": {judge(whole <= GOAL_LARGE)}" if is_large else ""
    print(f"        densenet build {whole:.2f} s{judged}")
    print(
        f"        a second time {median(again):.2f} s = {ratio:.2f} x --no-certify: "
        f"{judge(ratio <= GOAL_AGAIN)}"
    )


def judge(is_held: bool) -> str:
    return "held" if is_held else "MISSED"


def run_parts(spec: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", spec]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def run_build(spec: str, folder: str, name: str, *more: str) -> float:
    """Return the seconds of `densenet build` with the cache folder that `folder` holds."""
    command = [sys.executable, "-m", "densenet_cli", "build", spec, "-o", f"{folder}/{name}", *more]
    environment = {**os.environ, "DENSENET_CACHE": f"{folder}/cache"}
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT, env=environment)
    return time.perf_counter() - began


def measure_parts(name: str) -> dict[str, float]:
    """Return the seconds of the export, and of what a certificate adds to it."""
    sys.path.insert(0, str(ROOT))
    from archspec.runtime import prepare

    prepare()
    import mindspore as ms

    from archspec.certify.certificate import make_certificate
    from archspec.compare.compare import compare
    from archspec.graph.build import build_graph
    from archspec.readers.mindir.read import read_mindir
    from archspec.spec.load import load_spec
    from archspec.verifiers.verify import verify_or_raise
    from archspec.writers.mindspore.create_model import import_text
    from archspec.writers.mindspore.export_mindir import export_mindir
    from archspec.writers.mindspore.module import write_module

    ms.set_device("CPU")
    spec = load_spec(name)
    graph = verify_or_raise(build_graph(spec))
    network = import_text(write_module(graph), spec.name).Network()
    size = (spec.input.channels, spec.input.height, spec.input.width)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.mindir"
        export = time_call(lambda: export_mindir(network, size, file, batch=1))
        more = time_call(
            lambda: make_certificate(file, graph, compare(graph, read_mindir(file))).values()
        )
    return {"export": export, "more": more}


def time_call(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
