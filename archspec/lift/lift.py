"""A model file's graph to the spec that says it, top to bottom."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from archspec.compare.compare import Comparison, compare
from archspec.errors import (
    ArchspecError,
    Diagnostic,
    ModelFileError,
    SpecError,
    format_count,
    name_first,
)
from archspec.files import to_yaml
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph, Op
from archspec.lift.network import Network, Unliftable, keep_whole_joins, make_network
from archspec.lift.shorten import shorten
from archspec.lift.skips import resolve_skips
from archspec.lift.spec_values import make_spec_values
from archspec.lift.structure import Stages, split_into_stages
from archspec.operators.table import ACTIVATIONS, GLOBAL_POOLS, OPERATORS
from archspec.spec.load import validate
from archspec.spec.reading.shorthand import expand_short_forms
from archspec.spec.reading.yaml_reader import read_text
from archspec.spec.spec import Spec
from archspec.verifiers.setting_bounds import find_beyond_bounds
from archspec.verifiers.verify import verify_or_raise

MAX_OPERATORS = 15_000
MAX_DIFFERENCES = 20

_ALIAS = re.compile(r"(?<=[ \n])([&*])id0*(\d+)\b")
"""Of a list of steps that stands in several places, as PyYAML calls it."""


@dataclass(frozen=True, slots=True)
class LiftedSpec:
    """A spec as YAML text, which was compared with the file,
    and what the user should know of it.
    """

    text: str
    notes: tuple[str, ...]


def lift(found: Graph, name: str, where: str) -> LiftedSpec:
    """Return the spec of a graph that was read from the file `where`;
    it says the same network, or nothing is returned.

    Raises:
        ModelFileError: R108, each thing that the language cannot say; R009, concatenations that
            join more values than any spec may.
    """
    if len(found.ops) > MAX_OPERATORS:
        message = f"has {len(found.ops):,} operators; at most {MAX_OPERATORS:,} are lifted"
        raise ModelFileError.one("R108", message, where)
    faults = [*_find_unsayable(found, where)]
    if faults:
        raise ModelFileError(faults)
    network = make_network(found, where)
    try:
        return _lift_network(network, found, name, where)
    except ModelFileError as error:
        # Layers that change their size and come back look like a way up, and are none.
        if any(OPERATORS[node.kind].enlarges for node in network.nodes.values()):
            with suppress(ModelFileError):
                return _lift_network(network, found, name, where, has_way_up=False)
        raise error from None


def _lift_network(
    network: Network, found: Graph, name: str, where: str, *, has_way_up: bool = True
) -> LiftedSpec:
    try:
        # Skips first: stages are looked for on a line, which a way up is without them.
        line = resolve_skips(network) if has_way_up else network
        stages = _find_stages(line, where)
        text = _ALIAS.sub(r"\1steps\2", to_yaml(shorten(make_spec_values(stages, name))))
    except Unliftable as fault:
        raise ModelFileError([fault.diagnostic(where)]) from None
    except SpecError as error:
        raise _as_model_fault(error, where) from None
    # Whatever was found, the text is what the user gets: it is read and compared as any spec.
    comparison = _compare_with_file(text, found, where)
    return LiftedSpec(text, (*comparison.notes, *_note_biased_convs(found)))


def _find_stages(network: Network, where: str) -> Stages:
    """Cut the network; where that fails, take what is always joined together for one value."""
    try:
        return split_into_stages(network, where)
    except ModelFileError as error:
        # Where that fails too, the first account is given: it speaks of the file's own joins.
        with suppress(ModelFileError):
            return split_into_stages(keep_whole_joins(network), where)
        raise error from None


def _find_unsayable(found: Graph, where: str) -> list[Diagnostic]:
    """Settings of operators that no step may have, those that say the same in one line."""
    alike: dict[str, list[str]] = {}
    for op in found.ops.values():
        for words in _explain_unsayable(op):
            alike.setdefault(words, []).append(op.name)
    faults = []
    for words, names in alike.items():
        faults.append(Diagnostic("R108", f"{name_first(names)}: {words}", where))
    return faults


def _explain_unsayable(op: Op) -> Iterator[str]:
    # What the graph can say and the language cannot is told at its operator, before any structure
    # is looked for.
    padding = op.attrs.get("padding")
    if isinstance(padding, tuple):
        sides = " x ".join(map(str, padding))
        yield f"has a padding of {sides}; steps have the same on all sides"
    if op.attrs.get("weights_of"):
        yield "uses another operator's weights; each step has its own"
    row = OPERATORS[op.kind]
    for name, words in row.unsaid.items():
        if op.attrs.get(name, row.defaults[name]) != row.defaults[name]:
            yield words
    yield from find_beyond_bounds(op)


def _compare_with_file(text: str, found: Graph, where: str) -> Comparison:
    """Read the text as any spec, and compare what it says with the file."""
    try:
        spec = validate(Spec, expand_short_forms(read_text(text, "spec.yaml")))
        comparison = compare(verify_or_raise(build_graph(spec)), found)
    except ArchspecError as error:
        raise _as_model_fault(error, where) from None
    if not comparison.is_equal:
        lines = [
            f"the nearest spec is another network: {fault.message}"
            for fault in comparison.differences
        ]
        raise ModelFileError(Diagnostic("R108", line, where) for line in lines[:MAX_DIFFERENCES])
    return comparison


def _as_model_fault(error: ArchspecError, where: str) -> ModelFileError:
    """The language has bounds, of which a spec is told at its lines; here there is none."""
    lines = (f"no spec says it: {fault.message}" for fault in error.diagnostics[:MAX_DIFFERENCES])
    return ModelFileError(Diagnostic("R108", line, where) for line in lines)


def _note_biased_convs(found: Graph) -> list[str]:
    """Convolutions that may hold a norm which a framework folded into them."""
    # A norm would stand between a convolution and its activation. The convolutions of a
    # squeeze-and-excitation have biases of their own: they follow the mean over the pixels, and
    # gates end them.
    active = {kind for kind in ACTIVATIONS if not OPERATORS[kind].is_gate}
    activated, means = set[str](), set[str]()
    for op in found.ops.values():
        if op.kind in active:
            activated.update(op.inputs)
        if op.kind in GLOBAL_POOLS:
            means.add(op.name)
    count = 0
    for op in found.ops.values():
        is_biased = OPERATORS[op.kind].folds_norm and op.attrs.get("bias")
        count += bool(is_biased and op.name in activated and not means.intersection(op.inputs))
    if not count:
        return []
    verb = "has" if count == 1 else "have"
    words = "a bias: a batch norm that was folded into one is not told from it"
    return [f"{format_count(count, 'convolution')} {verb} {words}, so the spec says the bias"]
