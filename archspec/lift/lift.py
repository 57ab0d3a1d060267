"""A model file's graph to the spec that says it, top to bottom."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

from archspec.compare.compare import Comparison, compare
from archspec.errors import ArchspecError, Diagnostic, ModelFileError, SpecError, counted, first_of
from archspec.files import to_yaml
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph
from archspec.lift.network import Network, Unliftable, network_of, with_whole_joins
from archspec.lift.setting_bounds import beyond_bounds
from archspec.lift.shorten import shortened
from archspec.lift.skips import without_skips
from archspec.lift.spec_values import values_of
from archspec.lift.structure import Stages, stages_of
from archspec.operators.table import ACTIVATIONS, GLOBAL_POOLS, OPERATORS
from archspec.spec.load import validate
from archspec.spec.model import Spec
from archspec.spec.reading.shorthand import expanded
from archspec.spec.reading.yaml_reader import read_text
from archspec.verifiers.verify import verified

MAX_OPERATORS = 10_000
MAX_DIFFERENCES = 20

_ALIAS = re.compile(r"(?<=[ \n])([&*])id0*(\d+)\b")
"""Of a list of steps that stands in several places, as PyYAML calls it."""


@dataclass(frozen=True, slots=True)
class Lifted:
    """A spec as YAML text, which was compared with the file, and what the user should know of it."""

    text: str
    notes: tuple[str, ...]


def lift(found: Graph, name: str, where: str) -> Lifted:
    """Return the spec of a graph that was read from the file `where`; it says the same network, or nothing is returned.

    Raises:
        ModelFileError: R108, each thing that the language cannot say; R009, concatenations that join more values
            than any spec may.
    """
    if len(found.ops) > MAX_OPERATORS:
        message = f"has {len(found.ops):,} operators; at most {MAX_OPERATORS:,} are lifted"
        raise ModelFileError.one("R108", message, where)
    faults = [*_unsayable(found, where)]
    if faults:
        raise ModelFileError(faults)
    try:
        stages = _stages(without_skips(network_of(found, where)), where)
        text = _ALIAS.sub(r"\1steps\2", to_yaml(shortened(values_of(stages, name))))
    except Unliftable as fault:
        raise ModelFileError([fault.diagnostic(where)]) from None
    except SpecError as error:
        raise _none_says_it(error, where) from None
    comparison = _compared(text, found, where)
    return Lifted(text, (*comparison.notes, *_biased(found)))


def _stages(network: Network, where: str) -> Stages:
    """Cut the network; where that fails, take what is always joined together for one value."""
    try:
        return stages_of(network, where)
    except ModelFileError as error:
        with suppress(ModelFileError):
            return stages_of(with_whole_joins(network), where)
        raise error from None


def _unsayable(found: Graph, where: str) -> list[Diagnostic]:
    """Settings of operators that no step may have, those that say the same in one line."""
    alike: dict[str, list[str]] = {}
    for op in found.ops.values():
        padding = op.attrs.get("padding")
        if isinstance(padding, tuple):
            sides = " x ".join(map(str, padding))
            alike.setdefault(
                f"has a padding of {sides}; steps have the same on all sides", []
            ).append(op.name)
        if op.attrs.get("weights_of"):
            alike.setdefault("uses another operator's weights; each step has its own", []).append(
                op.name
            )
        if op.attrs.get("approximate", "none") != "none":
            alike.setdefault("is approximated by tanh; the language's gelu is exact", []).append(
                op.name
            )
        for words in beyond_bounds(op):
            alike.setdefault(words, []).append(op.name)
    return [
        Diagnostic("R108", f"{first_of(names)}: {words}", where) for words, names in alike.items()
    ]


def _compared(text: str, found: Graph, where: str) -> Comparison:
    """Read the text as any spec, and compare what it says with the file."""
    try:
        spec = validate(Spec, expanded(read_text(text, "spec.yaml")))
        comparison = compare(verified(build_graph(spec)), found)
    except ArchspecError as error:
        raise _none_says_it(error, where) from None
    if not comparison.equal:
        lines = [
            f"the nearest spec is another network: {fault.message}"
            for fault in comparison.differences
        ]
        raise ModelFileError(Diagnostic("R108", line, where) for line in lines[:MAX_DIFFERENCES])
    return comparison


def _none_says_it(error: ArchspecError, where: str) -> ModelFileError:
    """The language has bounds, of which a spec is told at its lines; here there is none."""
    lines = (f"no spec says it: {fault.message}" for fault in error.diagnostics[:MAX_DIFFERENCES])
    return ModelFileError(Diagnostic("R108", line, where) for line in lines)


def _biased(found: Graph) -> list[str]:
    """Convolutions that may hold a norm which a framework folded into them."""
    active = {kind for kind in ACTIVATIONS if not OPERATORS[kind].is_gate}
    behind = Counter(
        source for op in found.ops.values() if op.kind in active for source in op.inputs
    )
    gates = {op.name for op in found.ops.values() if op.kind in GLOBAL_POOLS}
    convs = [
        op
        for op in found.ops.values()
        if op.kind == "conv" and op.attrs.get("bias") and behind[op.name]
    ]
    count = sum(not gates.intersection(op.inputs) for op in convs)
    if not count:
        return []
    verb = "has" if count == 1 else "have"
    words = "a bias: a batch norm that was folded into one is not told from it, so the spec says the bias"
    return [f"{counted(count, 'convolution')} {verb} {words}"]
