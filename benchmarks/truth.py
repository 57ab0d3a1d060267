"""How often is `certify` wrong?
Random specs over the whole language, and random rewrites of their files.

    python benchmarks/truth.py [--specs 1000] [--results truth.jsonl] [--workers 1]

Each spec becomes a network with random weights. Its files are written in ways that keep the
function: MINDIR by MindSpore, ONNX in the styles of several frameworks, with norms folded, nodes in
any order, and as ONNX Runtime's optimiser leaves them. Others are changed at random, or are another
spec's. All are run, by MindSpore or by ONNX Runtime, and compared with a NumPy forward of the
spec's graph. Counted are files

    equal             whose outputs are the spec's
    accepted          of these, those that certify calls the spec's, joins in their order
    accused wrongly   of these, those that it does not, or does not read
    other             whose outputs are others
    told apart        of these, those that certify does not call the spec's
    accepted wrongly  of these, those that it does

Not judged are specs whose outputs a rounding of float32 moves beyond the tolerance.
Zero is right in the two wrong columns. A spec costs about 2 s of a core. Results are appended as
they come, and the same command goes on where it was stopped. At the end stand the specs of which a
file was judged wrongly, and how often each step and setting was drawn; each should be.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "benchmarks")]

import numpy as np  # noqa: E402
import oracle  # noqa: E402
import yaml  # noqa: E402
from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: E402
from pydantic import ValidationError  # noqa: E402
from readers.mutations import MUTATIONS, refiltered  # noqa: E402
from readers.onnx_styles import STYLES, Step, Style, optimised, outputs_of, written  # noqa: E402
from settings_drawn import Values, drawn_settings, never_drawn, settings_said  # noqa: E402
from spec.language import specs  # noqa: E402

from archspec.certify.liveness import check_liveness  # noqa: E402
from archspec.compare.compare import compare  # noqa: E402
from archspec.errors import ArchspecError  # noqa: E402
from archspec.graph.build import build_graph  # noqa: E402
from archspec.graph.digest import structure_digest  # noqa: E402
from archspec.graph.ir import Graph  # noqa: E402
from archspec.readers.frontends import read_model_file  # noqa: E402
from archspec.readers.reading import Reading, filters_in  # noqa: E402
from archspec.spec.spec import Spec  # noqa: E402
from archspec.verifiers.verify import verify_or_raise  # noqa: E402

CHUNK = 10
"""Specs of one process: MindSpore keeps what it has compiled."""
TRIES = 30
"""Specs that are drawn for each that is judged; about a third of them build."""
MUTANTS = 3
TOLERANCE = 1e-3
"""Of outputs, relative to the largest: float32 against float64 through norms over few values."""
ROUNDING = 1e-7
"""Of float32. Outputs that it moves beyond the tolerance, such as those of an RMS norm over values
near 0, tell nothing: MindSpore's and ONNX Runtime's differ then."""
COLUMNS = ("equal", "accepted", "accused wrongly", "other", "told apart", "accepted wrongly")


def main() -> None:
    parser = argparse.ArgumentParser(description="How often is certify wrong?")
    parser.add_argument("--specs", type=int, default=1_000)
    parser.add_argument("--results", type=Path, default=Path("truth.jsonl"))
    parser.add_argument("--workers", type=int, default=1, help="processes at once")
    parser.add_argument("--chunk", type=int, help="judge the specs of one seed in this process")
    arguments = parser.parse_args()
    if arguments.chunk is not None:
        for line in judged(arguments.chunk):
            print(json.dumps(line), flush=True)
        return
    lines = [json.loads(line) for line in _kept(arguments.results)]
    done = {line["seed"] for line in lines}
    waiting = [number for number in range(-(-arguments.specs // CHUNK)) if number not in done]
    with ThreadPoolExecutor(arguments.workers) as pool:
        for made in pool.map(_in_a_child, waiting):
            lines.extend(made)
            with arguments.results.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(line) + "\n" for line in made)
            print(f"{len(lines):,} specs", summed(lines)["all"], flush=True)
    show(lines)


def _kept(results: Path) -> list[str]:
    return results.read_text(encoding="utf-8").splitlines() if results.is_file() else []


def _in_a_child(number: int) -> list[Values]:
    command = [sys.executable, __file__, "--chunk", str(number)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the specs of seed {number}: {done.stderr[-2_000:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def drawn(number: int, count: int = CHUNK) -> list[Values]:
    """Return the values of so many specs that build; the same for the same seed.

    hypothesis prefers what is simple:
    of more that are drawn, those are taken that say most that others do not.
    """
    found: list[tuple[frozenset[str], Values]] = []

    @seed(number)
    @settings(
        max_examples=TRIES * count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(specs())
    def collect(values: Values) -> None:
        try:
            spec = Spec.model_validate(values)
            build_graph(spec)
        except (ArchspecError, ValidationError):
            return
        found.append((frozenset(settings_said(spec)), values))

    collect()
    chosen, seen = list[Values](), Counter[str]()
    while len(chosen) < count:
        best = max(found, key=lambda each: sum(1 / (1 + seen[name]) for name in each[0]))
        found.remove(best)
        seen.update(best[0])
        chosen.append(best[1])
    return chosen


def judged(number: int, count: int = CHUNK) -> Iterator[Values]:
    """Judge the specs of a seed: a line for each, with what was found of each of its files."""
    from archspec.runtime import prepare

    prepare()
    others: list[Graph] = []
    for values in drawn(number, count):
        spec = Spec.model_validate(values)
        rng = random.Random(json.dumps(values, sort_keys=True, default=str))
        with tempfile.TemporaryDirectory() as folder:
            files = Counter[str]()
            wrong: list[Values] = []
            for kind, is_equal, verdict in _judged(spec, others, Path(folder), rng):
                column = _column(is_equal, verdict)
                files[f"{kind}: {column}"] += 1
                if column.endswith("wrongly"):
                    wrong.append({"file": kind, "column": column, "verdict": verdict})
        others = [build_graph(spec)]
        said = drawn_settings(values)
        yield {"seed": number, "files": files, "wrong": wrong, "drawn": said, "spec": values}


def _judged(
    spec: Spec, others: Sequence[Graph], folder: Path, rng: random.Random
) -> Iterator[tuple[str, bool, str]]:
    """The files of a spec; a crash is one that is accused."""
    try:
        yield from _files(spec, others, folder, rng)
    except Exception as error:
        yield "crash", True, f"{type(error).__name__}: {error}"


def _column(is_equal: bool, verdict: str) -> str:
    if is_equal:
        return "accused wrongly" if verdict else "accepted"
    return "told apart" if verdict else "accepted wrongly"


def _files(
    spec: Spec, others: Sequence[Graph], folder: Path, rng: random.Random
) -> Iterator[tuple[str, bool, str]]:
    """Yield each file's kind, whether its outputs are the spec's, and what certify says against it;
    nothing where outputs tell nothing.
    """
    graph = verify_or_raise(build_graph(spec))
    weights = oracle.random_parameters(graph.ops.values(), 0)
    shape = graph.ops[graph.inputs[0]].attrs["shape"]
    images = np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)
    right = right_outputs(graph, weights, images)
    if not _alike(right_outputs(graph, weights, moved_by_a_rounding(images)), right):
        return
    file = folder / "model.mindir"
    yield "MINDIR", _alike(_by_mindspore(spec, weights, images, file), right), _said_of(graph, file)
    for other in others:
        if not _is_the_same(other, graph, weights, images, right):
            yield "another spec's", False, _said_of(other, file)
    steps = [Step(op.name, op.kind, op.inputs, op.attrs) for op in graph.ops.values()]
    file = folder / "model.onnx"
    for kind, model in _written(steps, weights, graph.outputs, rng):
        is_equal = _alike(outputs_of(model, images), right)
        file.write_bytes(model)
        yield kind, is_equal, _said_of(graph, file)
    for _ in range(MUTANTS):
        changed, model = _mutant(steps, weights, graph.outputs, rng)
        made = _run(model, images)
        if not made or _alike(made, right) or _norms(changed) < _norms(steps):
            continue  # no file shows a norm that is gone from one that was folded
        file.write_bytes(model)
        yield "changed ONNX", False, _said_of(graph, file)


def _run(model: bytes, images: Any) -> list[Any]:
    """What ONNX Runtime gives; nothing where it refuses what is no network at all."""
    try:
        return list(outputs_of(model, images))
    except Exception:
        return []


def _norms(steps: Sequence[Step]) -> int:
    """How many batch norms are read."""
    read = {source for step in steps for source in step.inputs}
    return sum(step.kind == "batch_norm" and step.name in read for step in steps)


def _is_the_same(
    other: Graph, graph: Graph, weights: Mapping[str, Any], images: Any, right: Sequence[Any]
) -> bool:
    """Whether another spec says the same function: a step of it may do nothing."""
    if structure_digest(other) == structure_digest(graph):
        return True  # whatever its steps are called
    if other.ops[other.inputs[0]].attrs != graph.ops[graph.inputs[0]].attrs:
        return False
    if oracle.shapes(other.ops.values()) != oracle.shapes(graph.ops.values()):
        return False
    return _alike(right_outputs(other, weights, images), right)


def right_outputs(graph: Graph, weights: Mapping[str, Any], images: Any) -> list[Any]:
    made = oracle.values(graph.ops.values(), weights, images)
    return [value for name, value in zip(graph.ops, made, strict=True) if name in graph.outputs]


def moved_by_a_rounding(images: Any) -> Any:
    """Return images as far from the given ones as float32 rounds."""
    signs = np.random.default_rng(2).choice([-1, 1], images.shape)
    return images.astype(np.float64) * (1 + ROUNDING * signs)


def _alike(made: Sequence[Any], right: Sequence[Any]) -> bool:
    if [value.shape for value in made] != [value.shape for value in right]:
        return False
    pairs = list(zip(made, right, strict=True))
    return all(np.abs(a - b).max() <= TOLERANCE * (np.abs(b).max() or 1.0) for a, b in pairs)


def _by_mindspore(spec: Spec, weights: Mapping[str, Any], images: Any, file: Path) -> list[Any]:
    """Export the network of a spec, and return the outputs of the file."""
    import mindspore as ms

    from archspec.writers.mindspore.create_model import create_model
    from archspec.writers.mindspore.export_mindir import export_mindir

    ms.set_context(mode=ms.GRAPH_MODE)
    network = create_model(spec)
    ms.load_param_into_net(network, {k: ms.Parameter(v, name=k) for k, v in weights.items()})
    export_mindir(network, images.shape[1:], file, batch=len(images))
    found = ms.nn.GraphCell(ms.load(str(file)))(ms.Tensor(images))
    return [each.asnumpy() for each in (found if isinstance(found, tuple) else (found,))]


def _written(
    steps: Sequence[Step], weights: Mapping[str, Any], outputs: Sequence[str], rng: random.Random
) -> Iterator[tuple[str, bytes]]:
    """The network as ONNX: in a framework's style, its nodes in any order,
    and as an optimiser leaves it.
    """
    name = rng.choice(list(STYLES))
    model = written(steps, _style(name, steps, rng), weights, outputs[:-1])[0]
    yield f"ONNX, {name}", model.SerializeToString()
    nodes = rng.sample(list(model.graph.node), len(model.graph.node))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    yield "ONNX, shuffled", model.SerializeToString()
    plain = written(steps, _style("torch", steps, rng), weights, outputs[:-1])[0]
    yield "ONNX, optimised", optimised(plain).SerializeToString()


def _style(name: str, steps: Sequence[Step], rng: random.Random) -> Style:
    """A style that the whole language can be written in: newer operators, a head that is a vector.

    Zeros around a max pool, as MindCV has them behind a ReLU, are another function elsewhere.
    """
    head = rng.choice(["flatten", "mean", "squeeze", "window"])
    is_padded = any(step.kind == "max_pool" and step.attrs["padding"] for step in steps)
    pads = STYLES[name].pads and not is_padded
    return replace(STYLES[name], opset=rng.choice([17, 18, 20]), head=head, batch=2, pads=pads)


def _mutant(
    steps: Sequence[Step], weights: Mapping[str, Any], outputs: Sequence[str], rng: random.Random
) -> tuple[Sequence[Step], bytes]:
    """The network changed in one place, and its file; none where it cannot be written at all."""
    try:
        changed = rng.choice((*MUTATIONS, refiltered))(list(steps), rng)
        model = written(changed, _style("torch", steps, rng), weights, outputs[:-1])[0]
    except Exception:  # widths that do not fit, a kind of step that is not there
        return (), b""
    return changed, model.SerializeToString()


def _said_of(graph: Graph, file: Path) -> str:
    """Return what certify says against a file; '' where it accepts it."""
    try:
        return _compared(graph, read_model_file(file), file)
    except ArchspecError as refused:
        return str(refused.diagnostics[0])


def _compared(graph: Graph, reading: Reading, file: Path) -> str:
    biases = {"zero_biases": reading.zero_biases, "norms_shift": reading.norms_shift}
    filters_of = filters_in(file, reading)
    comparison = compare(graph, reading.graph, ordered=True, filters_of=filters_of, **biases)
    differences = comparison.differences
    if comparison.is_equal:
        differences = check_liveness(comparison.match, reading, file).differences
    return str(differences[0]) if differences else ""


def summed(lines: Sequence[Values]) -> dict[str, dict[str, int]]:
    """Return the columns for each kind of file, and for all of them."""
    table: dict[str, Counter[str]] = {"all": Counter()}
    for line in lines:
        for name, number in line["files"].items():
            kind, column = name.rsplit(": ", 1)
            for row in (kind, "all"):
                table.setdefault(row, Counter())[column] += number
    for row in table.values():
        row["equal"] = row["accepted"] + row["accused wrongly"]
        row["other"] = row["told apart"] + row["accepted wrongly"]
    return {kind: {column: row[column] for column in COLUMNS} for kind, row in table.items()}


def judged_wrongly(lines: Sequence[Values]) -> Iterator[str]:
    """Yield for each spec of which files were judged wrongly where it is drawn,
    these, and itself.
    """
    places = Counter[int]()
    for line in lines:
        number = line["seed"]
        place = f"drawn({number})[{places[number]}]"
        places[number] += 1
        files = [
            f"{place}: {wrong['file']} {wrong['column']}: {wrong['verdict']}\n"
            for wrong in line["wrong"]
        ]
        if files:
            yield "".join(files) + yaml.safe_dump(line["spec"], sort_keys=False)


def show(lines: Sequence[Values]) -> None:
    steep = sum(not line["files"] for line in lines)
    print(f"\n{len(lines):,} specs, {steep} of them not judged: a rounding moves their outputs")
    print(f"{'':24}" + "".join(f"{column:>18}" for column in COLUMNS))
    for kind, row in sorted(summed(lines).items()):
        print(f"{kind:24}" + "".join(f"{row[column]:>18,}" for column in COLUMNS))
    for text in judged_wrongly(lines):
        print(f"\n{text}")
    counts = Counter[str]()
    for line in lines:
        counts.update(line["drawn"])
    print("\ndrawn:", ", ".join(f"{name} {counts[name]}" for name in sorted(counts)))
    print("never drawn:", ", ".join(never_drawn(lines)) or "none")


if __name__ == "__main__":
    main()
