"""How long do images take to be judged: as `validate` does, by the emitted network, by Model.eval?

    python benchmarks/evaluation.py [--rounds 5] [--quick]

Ways to judge the same images with as many classes and layers: `validate`'s, which folds norms and
turns convolutions; `validate --engine`'s, by each engine that is installed; the emitted network as
it is, `validate`'s way before; and MindSpore's Model.eval, as MindCV's validate.py calls it, of the
same structure written by hand. All are in one process and take turns, so that what else the machine
does weighs on all alike. Then how long it takes to start, the compiled network kept from the time
before or not. Seconds are of the processors; medians are printed, each with its ratio to the
emitted network's, and MISSED where one of ours is below its goal. How far logits differ is told
too, and whether each image has the same first guess.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

Judge = Callable[[], Any]


class Case(NamedTuple):
    """A network, its images, and the ratio wanted of the emitted network's time to ours."""

    spec: str
    side: int
    classes: int
    batch: int
    batches: int
    goal: float | None


CASES = (
    Case("densenetbc100_k12", 32, 10, 64, 3, 2.0),
    Case("densenet121", 224, 1000, 8, 2, None),
)
START_GOAL = 1.2
OURS, EMITTED = "validate", "emitted"


def main() -> None:
    parser = argparse.ArgumentParser(description="How long do images take to be judged?")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one round")
    parser.add_argument("--start", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.start:
        start(CASES[0])
    else:
        rounds = 1 if asked.quick else asked.rounds
        for case in CASES:
            show(case, rounds)
        show_starts(CASES[0], 1 if asked.quick else 2)
    sys.stdout.flush()
    os._exit(0)  # MindSpore's cells complain while Python ends


def show(case: Case, rounds: int) -> None:
    """Print a case: images for each second of a processor, and how far logits are from equal."""
    sides, difference = make_sides(case)
    seconds = measure_in_turn(sides, rounds)
    images = case.batch * case.batches
    print(f"{case.spec}, {case.side} px, batch {case.batch}, images per second of a processor:")
    for side, values in seconds.items():
        pairs = zip(seconds[EMITTED], values, strict=True)
        ratio = statistics.median(theirs / ours for theirs, ours in pairs)
        line = f"  {side:29} {images / statistics.median(values):7.1f} = {ratio:.2f} x"
        if side.startswith(OURS) and case.goal is not None:
            line += f", goal {case.goal}{'' if ratio >= case.goal else '  MISSED'}"
        print(line, flush=True)
    print(f"  {difference}")


def measure_in_turn(sides: dict[str, Judge], rounds: int) -> dict[str, list[float]]:
    """Return each side's seconds of each round; the first round, which compiles, is left out."""
    found: dict[str, list[float]] = {side: [] for side in sides}
    names = list(sides)
    for number in range(rounds + 1):
        first = number % len(names)
        for side in names[first:] + names[:first]:
            began = read_seconds(resource.RUSAGE_SELF)
            sides[side]()
            found[side].append(read_seconds(resource.RUSAGE_SELF) - began)
    return {side: values[1:] for side, values in found.items()}


def read_seconds(whose: int) -> float:
    """Return what the processors have spent, all threads together."""
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime


# ---- the sides


def make_sides(case: Case) -> tuple[dict[str, Judge], str]:
    """Return what judges all images once, by name, and how far two of them differ."""
    import numpy as np

    from archspec.train.evaluation.measures import run_measure
    from archspec.train.trained.judging import EXAMINATIONS

    emitted, folded = make_networks(case)
    in_engines = export_to_engines(case, emitted)
    batches = draw_batches(case)

    def judge(network: Any) -> Judge:
        return lambda: run_measure(network, batches, EXAMINATIONS)

    import mindspore as ms

    ours = {OURS: folded, **in_engines}
    wanted = emitted(ms.Tensor(batches[0][0])).asnumpy()
    apart, are_same = 0.0, True
    for network in ours.values():
        logits = network(ms.Tensor(batches[0][0])).asnumpy()
        apart = max(apart, np.abs(logits - wanted).max() / np.abs(wanted).max())
        are_same &= (logits.argmax(axis=1) == wanted.argmax(axis=1)).all()
    words = (
        f"logits differ by {apart:.0e} of the largest, first guesses {'' if are_same else 'not '}"
    )
    sides = {side: judge(network) for side, network in {**ours, EMITTED: emitted}.items()}
    return {**sides, "Model.eval": make_model_eval(case, batches)}, f"{words}equal"


def export_to_engines(case: Case, emitted: Any) -> dict[str, Any]:
    """The emitted network as ONNX in each engine that is installed."""
    from archspec.errors import EnvironmentFault
    from archspec.graph.build import build_graph
    from archspec.spec.load import load_spec
    from archspec.train.trained.engines import ENGINES, load_network
    from archspec.writers.onnx.model import make_onnx

    tensors = {parameter.name: parameter.asnumpy() for parameter in emitted.get_parameters()}
    made = make_onnx(build_graph(load_spec(case.spec)), tensors)
    networks = {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.onnx"
        file.write_bytes(made.SerializeToString())
        for engine in ENGINES[".onnx"]:
            with suppress(EnvironmentFault):
                networks[f"{OURS} --engine {engine}"] = load_network(file, engine)
    return networks


def make_networks(case: Case) -> tuple[Any, Any]:
    """The emitted network, and the one that `validate` calls, of equal weights."""
    from archspec.runtime import prepare

    prepare()
    import mindspore as ms

    from archspec.spec.load import load_spec
    from archspec.train.engine.folded_network import make_folded_network
    from archspec.writers.mindspore.create_model import create_model

    ms.set_context(mode=ms.GRAPH_MODE)
    spec = load_spec(case.spec)
    emitted = create_model(spec).set_train(False)
    tensors = {parameter.name: parameter.asnumpy() for parameter in emitted.get_parameters()}
    return emitted, make_folded_network(spec, tensors)


def make_model_eval(case: Case, batches: list[tuple[Any, Any]]) -> Judge:
    """MindSpore's own loop, with the metrics that MindCV's validate.py asks for."""
    import mindspore.dataset as ds
    from handwritten import HandwrittenCifarDenseNet, HandwrittenDenseNet, RunningBlock
    from mindspore import nn
    from mindspore.train import Model

    if case.side == 32:
        network = HandwrittenCifarDenseNet(12, (16, 16, 16), 24, case.classes, RunningBlock)
    else:
        network = HandwrittenDenseNet(32, (6, 12, 24, 16), 64, case.classes, RunningBlock)
    metrics = {"top1": nn.Top1CategoricalAccuracy(), "top5": nn.Top5CategoricalAccuracy()}
    loss = nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean")
    model = Model(network.set_train(False), loss_fn=loss, metrics=metrics)

    def read() -> Iterator[tuple[Any, Any]]:
        yield from batches

    images = ds.GeneratorDataset(read, ["image", "label"], shuffle=False)
    return lambda: model.eval(images, dataset_sink_mode=False)


def draw_batches(case: Case) -> list[tuple[Any, Any]]:
    """Images (N, 3, H, W) and labels (N,)."""
    import numpy as np

    random, batches = np.random.default_rng(0), []
    for _ in range(case.batches):
        images = random.normal(size=(case.batch, 3, case.side, case.side)).astype(np.float32)
        batches.append((images, random.integers(0, case.classes, case.batch).astype(np.int32)))
    return batches


# ---- starting


def show_starts(case: Case, runs: int) -> None:
    """Print how long a process takes to its first batch, with the network kept and without."""
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            for is_kept in (False, True):
                seconds[is_kept].append(measure_start(folder))
    compiled, kept = (statistics.median(seconds[is_kept]) for is_kept in (False, True))
    missed = "" if compiled >= START_GOAL * kept else "  MISSED"
    print(f"{case.spec}, processor's seconds of a process to its first batch:")
    print(f"  compiled {compiled:.1f}, kept {kept:.1f}: {compiled / kept:.2f} x, ", end="")
    print(f"goal {START_GOAL}{missed}")


def measure_start(cache: str) -> float:
    """Return the seconds of a process that judges one batch, where networks are kept in `cache`."""
    began = read_seconds(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "DENSENET_CACHE": cache}
    subprocess.run([sys.executable, __file__, "--start"], check=True, env=environment)
    return read_seconds(resource.RUSAGE_CHILDREN) - began


def start(case: Case) -> None:
    from archspec.spec.load import load_spec
    from archspec.train.engine.compile_cache import CachedNetwork, make_cache
    from archspec.train.recipe.recipe import load_recipe

    _, folded = make_networks(case)
    import mindspore as ms

    spec, recipe = load_spec(case.spec), load_recipe("cifar_paper")
    compiled = make_cache(spec, recipe, device_target="CPU", rank=0, world=1)
    network = CachedNetwork(folded, compiled, "evaluation")
    network(ms.Tensor(draw_batches(case)[0][0])).asnumpy()


if __name__ == "__main__":
    main()
