"""Does the output of a layer move when what it reads does?

ONNX Runtime is asked, a layer and a source at a time.

The weights may say that a connection carries features, and it does not: behind a ReLU that is never
positive, for example. Here each layer is run by itself, between random feature maps and its output:
once as they are, and again with one of them changed. Nothing is trained or judged; only what the
reader knows is run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from archspec.certify.file_parts import FilePart
from archspec.certify.liveness import Liveness
from archspec.certify.subgraph import FLOAT, NotExtractable, Subgraph, SubgraphExtractor, fix_shape
from archspec.compare.compare import MAX_LINES
from archspec.errors import Diagnostic
from archspec.readers.onnx.read import OnnxReading
from archspec.readers.tensors import values_of
from archspec.runtime import import_onnx_runtime

# How far a source is moved, one after another until the output moves: a ReLU may hide a small
# change.
STEPS: Mapping[int, tuple[float, ...]] = {
    1: (1.0, 1e2, 1e4),
    11: (1.0, 1e2, 1e4),
    10: (1.0, 30.0, 1e3),
}
SEED = 0

Array = Any


@dataclass(frozen=True, slots=True)
class ProbedConnection:
    """A connection that was probed."""

    reader: str
    source: str
    is_alive: bool
    """What the weights say."""
    has_moved: bool


@dataclass(frozen=True, slots=True)
class Probe:
    """What ONNX Runtime says of the connections of a file."""

    probed: tuple[ProbedConnection, ...]
    not_run: tuple[str, ...]
    """Readers that could not be run by themselves, and why."""
    in_float32: bool = False
    """The file is of bfloat16, which ONNX Runtime does not run."""

    @property
    def confirmed(self) -> int:
        """Connections that the weights say are alive, and whose reader moves with the source."""
        return sum(each.is_alive and each.has_moved for each in self.probed)

    @property
    def connections(self) -> int:
        """Connections that the weights say are alive."""
        return sum(each.is_alive for each in self.probed)

    @property
    def differences(self) -> tuple[Diagnostic, ...]:
        """Where the weights say one thing and the output another."""
        strange = [each for each in self.probed if each.is_alive != each.has_moved]
        return tuple(Diagnostic("R111", _describe_mismatch(each)) for each in strange[:MAX_LINES])

    @property
    def notes(self) -> tuple[str, ...]:
        """What was not run, or not as it stands in the file."""
        notes = []
        if self.in_float32:
            rule = "in float32, with its weights: ONNX Runtime has no bfloat16 on CPUs"
            notes.append(f"the file's bfloat16 was probed {rule}")
        if self.not_run:
            more = f", and {len(self.not_run) - 1} more" if self.not_run[1:] else ""
            notes.append(f"not probed: {self.not_run[0]}{more}")
        return tuple(notes)


def _describe_mismatch(moves: ProbedConnection) -> str:
    if moves.is_alive:
        return f"{moves.reader} does not move when {moves.source} does"
    return f"{moves.reader} moves when {moves.source} does, though its weights say that it cannot"


def probe_connections(liveness: Liveness, reading: OnnxReading, path: Path) -> Probe:
    """Return which connections move their reader's output,
    those that start from constants left out.

    Raises:
        EnvironmentFault: E009, onnxruntime is not installed.
        ModelFileError: R005, R006, the file cannot be read any more.
    """
    runtime, probed, not_run = import_onnx_runtime(), list[ProbedConnection](), list[str]()
    with values_of(path) as values:
        extractor = SubgraphExtractor(reading, values)
        for part in liveness.parts:
            try:
                # All of a part or nothing of it: its own run is what may fail.
                probed.extend(list(_probe_part(part, liveness, extractor, runtime)))
            except NotExtractable as reason:
                not_run.append(f"{part.title} ({reason})")
    return Probe(tuple(probed), tuple(not_run), extractor.is_widened)


def _probe_part(
    part: FilePart, liveness: Liveness, extractor: SubgraphExtractor, runtime: Any
) -> Iterator[ProbedConnection]:
    sources = [value for values in part.sources.values() for value in values]
    run = _PartRunner(extractor.extract(sources, part.outputs), runtime)
    carried = liveness.carried_sources[part.name].tolist()
    for (source, values), is_alive in zip(part.sources.items(), carried, strict=True):
        live = {value: liveness.live_channels[value] for value in values}
        # What is the same for every image never moves, whatever the reader does with it.
        if any(channels.any() for channels in live.values()):
            yield ProbedConnection(part.title, source, is_alive, run.has_effect(live))


class _PartRunner:
    """A part that is run on random feature maps."""

    def __init__(self, subgraph: Subgraph, runtime: Any) -> None:
        from onnx.helper import tensor_dtype_to_np_dtype

        kinds = {name: subgraph.types.get(name, FLOAT) for name in subgraph.inputs}
        if not STEPS.keys() >= {*kinds.values()}:
            raise NotExtractable("its numbers are of a type that is not known here")
        self.inputs = {name: x.op for name, x in subgraph.inputs.items()}
        self.dtypes = {name: tensor_dtype_to_np_dtype(kind) for name, kind in kinds.items()}
        # Of several types, the one that holds the smallest numbers bounds the steps.
        self.steps = min((STEPS[kind] for kind in kinds.values()), default=())
        self.random = np.random.default_rng(SEED)
        self.base: dict[str, Array] = {}
        for x in subgraph.inputs.values():
            self.base[x.op] = self.random.normal(size=fix_shape(x.shape))
        self.session = open_session(subgraph.model, runtime)
        self.given = self._make_feeds(self.base)
        self.before = self._run_session(self.given)

    def _make_feeds(self, maps: Mapping[str, Array]) -> dict[str, Array]:
        """Feature maps by the names of the model's inputs;
        several of these may be one value of the file's graph.
        """
        return {
            name: maps[op].astype(self.dtypes[name])
            for name, op in self.inputs.items()
            if op in maps
        }

    def _run_session(self, given: Mapping[str, Array]) -> list[Array]:
        with refusals_as_not_extractable():
            made: list[Array] = self.session.run(None, given)
        return made

    def has_effect(self, live: Mapping[str, Array]) -> bool:
        """Return whether the output changes with the channels of some values
        that depend on the image.
        """
        return any(self._has_effect_of_step(live, step) for step in self.steps)

    def _has_effect_of_step(self, live: Mapping[str, Array], step: float) -> bool:
        changed = {}
        for op, channels in live.items():
            base = self.base[op]
            where = channels.reshape(1, -1, *[1] * (base.ndim - 2))
            changed[op] = base + where * step * self.random.normal(size=base.shape)
        after = self._run_session({**self.given, **self._make_feeds(changed)})
        return any(_is_different(a, b) for a, b in zip(self.before, after, strict=True))


def open_session(model: bytes, runtime: Any) -> Any:
    """Return what runs a part of a file, node by node as it stands there.

    Raises:
        NotExtractable: ONNX Runtime does not take it.
    """
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    with refusals_as_not_extractable():
        return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


@contextmanager
def refusals_as_not_extractable() -> Iterator[None]:
    """Raise what ONNX Runtime does not run as NotExtractable: its errors have no common class."""
    try:
        yield
    except Exception as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise NotExtractable(f"ONNX Runtime: {lines[0][:200]}") from None


def _is_different(before: Array, after: Array) -> bool:
    # A number that overflowed says nothing of what it depends on.
    return bool(((before != after) & np.isfinite(before) & np.isfinite(after)).any())
