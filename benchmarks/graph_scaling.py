"""What one block of 1,000 and of 2,000 layers costs to build and to verify.

    python benchmarks/graph_scaling.py [--layers 250 500 1000 2000] [--repetitions 3]

A block of L layers has L(L+1)/2 direct connections. Each measurement is a fresh process; shown are
the median seconds and the peak memory of the whole process. Goals: 1,000 layers in under 3 s and
600 MB, and a cost per connection that does not grow
(the time for importing the package stands apart).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
GOAL_LAYERS, GOAL_SECONDS, GOAL_MEGABYTES = 1_000, 3.0, 600.0


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of building and verifying one large block.")
    parser.add_argument("--layers", type=int, nargs="+", default=[250, 500, 1_000, 2_000])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--one", type=int, help="measure a block of so many layers in this process")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one)))
        return
    print("layers  connections  build s  verify s  total s  peak MB  us / connection")
    costs = [show(layers, arguments.repetitions) for layers in arguments.layers]
    print(f"cost per connection, last to first: x {costs[-1] / costs[0]:.2f}")
    print(
        f"                     last to second-last: x {costs[-1] / costs[-2]:.2f}"
        if costs[1:]
        else ""
    )


def show(layers: int, repetitions: int) -> float:
    """Print a row; return the microseconds per connection."""
    rows = [in_fresh_process(layers) for _ in range(repetitions)]
    build, verify, peak = (median(row[key] for row in rows) for key in ("build", "verify", "peak"))
    connections, total = layers * (layers + 1) // 2, build + verify
    cost = total / connections * 1e6
    seconds = f"{build:7.2f}  {verify:8.2f}  {total:7.2f}"
    print(f"{layers:6,}  {connections:11,}  {seconds}  {peak:7.0f}  {cost:15.2f}")
    if layers == GOAL_LAYERS:
        held = "held" if total < GOAL_SECONDS and peak < GOAL_MEGABYTES else "MISSED"
        print(f"        goal < {GOAL_SECONDS} s and < {GOAL_MEGABYTES:.0f} MB: {held}")
    return cost


def in_fresh_process(layers: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--one", str(layers)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def measure(layers: int) -> dict[str, float]:
    """Return seconds for the build and for the verification,
    and the process's peak memory in MB.
    """
    sys.path.insert(0, str(ROOT))
    from archspec.graph.build import build_graph
    from archspec.spec.spec import Spec
    from archspec.verifiers.verify import verify

    spec = Spec.model_validate(
        {"growth_rate": 12, "blocks": [{"layers": layers}], "input": {"height": 32, "width": 32}}
    )
    start = time.perf_counter()
    graph = build_graph(spec)
    built = time.perf_counter()
    faults = verify(graph)
    verified = time.perf_counter()
    assert not faults, faults
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux gives KB
    return {"build": built - start, "verify": verified - built, "peak": peak}


if __name__ == "__main__":
    main()
