"""Does the output of a layer move when what it reads does? ONNX Runtime is asked, a layer and a source at a time.

The weights may say that a connection carries features, and it does not: behind a ReLU that is never positive, for
example. Here each layer is run by itself, between random feature maps and its output: once as they are, and again
with one of them changed. Nothing is trained or judged; only what the reader knows is run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from archspec.certify.file_parts import Part
from archspec.certify.liveness import Life
from archspec.certify.subgraph import FLOAT, Cutout, Cutter, Uncut, sizes
from archspec.compare.compare import MAX_LINES
from archspec.errors import Diagnostic
from archspec.readers.onnx.read import OnnxReading
from archspec.readers.tensors import values_of
from archspec.runtime import import_onnx_runtime

# How far a source is moved, one after another until the output moves: a ReLU may hide a small change.
STEPS: Mapping[int, tuple[float, ...]] = {
    1: (1.0, 1e2, 1e4),
    11: (1.0, 1e2, 1e4),
    10: (1.0, 30.0, 1e3),
}
SEED = 0

Array = Any


@dataclass(frozen=True, slots=True)
class Moves:
    """A connection that was probed."""

    reader: str
    source: str
    alive: bool
    """What the weights say."""
    moved: bool


@dataclass(frozen=True, slots=True)
class Probe:
    """What ONNX Runtime says of the connections of a file."""

    moves: tuple[Moves, ...]
    not_run: tuple[str, ...]
    """Readers that could not be run by themselves, and why."""

    @property
    def confirmed(self) -> int:
        """Connections that the weights say are alive, and whose reader moves with the source."""
        return sum(each.alive and each.moved for each in self.moves)

    @property
    def connections(self) -> int:
        """Connections that the weights say are alive."""
        return sum(each.alive for each in self.moves)

    @property
    def differences(self) -> tuple[Diagnostic, ...]:
        """Where the weights say one thing and the output another."""
        strange = [each for each in self.moves if each.alive != each.moved]
        return tuple(Diagnostic("R111", _words(each)) for each in strange[:MAX_LINES])

    @property
    def notes(self) -> tuple[str, ...]:
        """What was not run."""
        more = f", and {len(self.not_run) - 1} more" if self.not_run[1:] else ""
        return (f"not probed: {self.not_run[0]}{more}",) if self.not_run else ()


def _words(moves: Moves) -> str:
    if moves.alive:
        return f"{moves.reader} does not move when {moves.source} does"
    return f"{moves.reader} moves when {moves.source} does, though its weights say that it cannot"


def probe_of(life: Life, reading: OnnxReading, path: Path) -> Probe:
    """Return which connections move their reader's output, those that start from constants left out.

    Raises:
        EnvironmentFault: E009, onnxruntime is not installed.
        ModelFileError: R005, R006, the file cannot be read any more.
    """
    runtime, moves, not_run = import_onnx_runtime(), list[Moves](), list[str]()
    with values_of(path) as values:
        cutter = Cutter(reading, values)
        for part in life.parts:
            try:
                moves.extend(list(_probed(part, life, cutter, runtime)))
            except Uncut as reason:
                not_run.append(f"{part.title} ({reason})")
    return Probe(tuple(moves), tuple(not_run))


def _probed(part: Part, life: Life, cutter: Cutter, runtime: Any) -> Iterator[Moves]:
    sources = [value for values in part.sources.values() for value in values]
    cutout = cutter.cut(sources, part.outputs)
    run = _Run(cutout, runtime)
    for (source, values), alive in zip(
        part.sources.items(), life.carried[part.name].tolist(), strict=True
    ):
        live = {value: life.live[value] for value in values}
        if any(channels.any() for channels in live.values()):
            yield Moves(part.title, source, alive, run.moves(live))


class _Run:
    """A part that is run on random feature maps."""

    def __init__(self, cutout: Cutout, runtime: Any) -> None:
        from onnx.helper import tensor_dtype_to_np_dtype

        kinds = {cutout.types.get(name, FLOAT) for name in cutout.inputs}
        if not kinds <= STEPS.keys():
            raise Uncut("its numbers are of a type that is not known here")
        self.inputs = {name: x.op for name, x in cutout.inputs.items()}
        self.dtypes = {
            name: tensor_dtype_to_np_dtype(cutout.types.get(name, FLOAT)) for name in cutout.inputs
        }
        self.steps = min((STEPS[kind] for kind in kinds), default=())
        self.random = np.random.default_rng(SEED)
        self.base = {x.op: self.random.normal(size=sizes(x)) for x in cutout.inputs.values()}
        options = runtime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        with _refused():
            self.session = runtime.InferenceSession(
                cutout.model, options, providers=["CPUExecutionProvider"]
            )
        self.given = self._given(self.base)
        self.before = self._outputs(self.given)

    def _given(self, maps: Mapping[str, Array]) -> dict[str, Array]:
        """Feature maps by the names of the model's inputs; several of these may be one value of the file's graph."""
        return {
            name: maps[op].astype(self.dtypes[name])
            for name, op in self.inputs.items()
            if op in maps
        }

    def _outputs(self, given: Mapping[str, Array]) -> list[Array]:
        with _refused():
            made: list[Array] = self.session.run(None, given)
        return made

    def moves(self, live: Mapping[str, Array]) -> bool:
        """Return whether the output changes with the channels of some values that depend on the image."""
        return any(self._moves(live, step) for step in self.steps)

    def _moves(self, live: Mapping[str, Array], step: float) -> bool:
        changed = {}
        for op, channels in live.items():
            base = self.base[op]
            where = channels.reshape(1, -1, *[1] * (base.ndim - 2))
            changed[op] = base + where * step * self.random.normal(size=base.shape)
        after = self._outputs({**self.given, **self._given(changed)})
        return any(_differ(a, b) for a, b in zip(self.before, after, strict=True))


@contextmanager
def _refused() -> Iterator[None]:
    """ONNX Runtime does not run it; its errors have no class in common."""
    try:
        yield
    except Exception as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise Uncut(f"ONNX Runtime: {lines[0][:200]}") from None


def _differ(before: Array, after: Array) -> bool:
    return bool(((before != after) & np.isfinite(before) & np.isfinite(after)).any())
