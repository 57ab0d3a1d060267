"""In which order a network joins feature maps. Shapes do not tell it, so a checkpoint cannot say.

The file's network is the spec's, but for the order. Where that is another, the channels of all
weights that read the joins are put in the spec's order, and the spec's network gives the outputs of
the file's author.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from archspec.connectivity_rules import Order
from archspec.errors import Diagnostic, ModelFileError
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph
from archspec.spec.connectivity import ConnectivitySpec
from archspec.spec.spec import Spec
from archspec.weights.concat_orders.permute import FixedOrder, permute_weights
from archspec.weights.concat_orders.witness import TOLERANCE, Runner, read_witness
from archspec.weights.formats.number_types import Floats

ORDERS: tuple[Order, ...] = get_args(Order)
_BY_HAND = "write the file's order into the spec: connectivity: {order: ...}"


@dataclass(frozen=True)
class Candidate:
    """The network of the file, if it joins in this order."""

    title: str
    graph: Graph


@dataclass(frozen=True)
class OrderedWeights:
    """Weights whose channels stand in the order of the spec's network."""

    tensors: Mapping[str, Floats]
    remark: str = ""


def reorder_as_said(
    tensors: Mapping[str, Floats], spec: Spec, order: Order | None, is_settled: bool, where: str
) -> OrderedWeights:
    """Return the weights of a file that joins in an order; None: a remark says that nobody said it.

    Raises:
        ModelFileError: R014, the channels of an operator cannot be put in another order.
    """
    if order is None and is_settled:
        return OrderedWeights(tensors)
    if order is None:
        own, *others = _list_candidates(spec, None)
        return OrderedWeights(tensors, _remark_unsaid(own) if others else "")
    own, theirs = _make_candidate(spec), _make_candidate(with_order(spec, order))
    if theirs.graph.ops == own.graph.ops:
        return OrderedWeights(tensors)
    try:
        found = permute_weights(own.graph, theirs.graph, tensors)
    except FixedOrder as place:
        raise ModelFileError([_make_fixed_fault(place, theirs, where)]) from None
    return OrderedWeights(found, _remark_moved(theirs, own, tensors, found))


def reorder_as_witnessed(
    tensors: Mapping[str, Floats], spec: Spec, order: Order | None, like: Path, where: str
) -> OrderedWeights:
    """Return the weights in the first order in which the network gives the outputs of a witness.

    Args:
        tensors: by our names.
        spec: the network.
        order: the order that is tried first; None: the spec's own.
        like: an ONNX model, or an .npz of one input and its output.
        where: the file of the weights, for the error.

    Raises:
        EnvironmentFault: E001, MindSpore, or E009, ONNX Runtime is not installed.
        ModelFileError: R001, R002, R006, R014, the witness cannot be used, or no order gives
            its outputs.
    """
    witness = read_witness(like, spec)
    own = _make_candidate(spec)
    # The spec's network is compiled once: other orders are other weights for it.
    runner = Runner(own.graph, witness)
    faults: list[Diagnostic] = []
    distances: list[float] = []
    for theirs in _list_candidates(spec, order):
        try:
            found = permute_weights(own.graph, theirs.graph, tensors)
        except FixedOrder as place:
            faults.append(_make_fixed_fault(place, theirs, where))
            continue
        distances.append(runner.distance(found))
        if distances[-1] > TOLERANCE:
            continue
        fits = _remark_fits(theirs, like, distances[-1])
        words = [fits, _remark_moved(theirs, own, tensors, found)]
        if order is not None and distances[1:]:
            words.append(f"--order {order} does not")
        return OrderedWeights(found, "; ".join(filter(None, words)))
    raise ModelFileError([_make_unlike_fault(like, distances, where), *faults])


def _list_candidates(spec: Spec, order: Order | None) -> Sequence[Candidate]:
    """The networks that differ from the spec's in the order alone; that which was said first."""
    found: list[Candidate] = []
    for candidate in _walk_candidates(spec, order):
        if all(candidate.graph.ops != known.graph.ops for known in found):
            found.append(candidate)
    return found


def _walk_candidates(spec: Spec, order: Order | None) -> Iterator[Candidate]:
    yield _make_candidate(spec if order is None else with_order(spec, order))
    for layers in ORDERS:
        yield from (_make_candidate(with_order(spec, layers, output)) for output in ORDERS)


def _make_candidate(spec: Spec) -> Candidate:
    return Candidate(_title_orders(spec), build_graph(spec))


def with_order(spec: Spec, order: Order, output: Order | None = None) -> Spec:
    """Return the spec with another order of its joins, where the spec does not list their sources.

    `output` is the order of what a block's output joins; None: as each block says, else `order`.
    """

    def turned(wiring: ConnectivitySpec) -> ConnectivitySpec:
        layers: Order | None
        gathers: Order | None
        layers, gathers = order, output or wiring.output_order
        if wiring.edges is not None:
            layers, gathers = None, gathers or order
        if isinstance(wiring.output, tuple) or wiring.output == "last":
            gathers = None
        return wiring.model_copy(update={"order": layers, "output_order": gathers})

    blocks = tuple(
        block.model_copy(update={"connectivity": block.connectivity and turned(block.connectivity)})
        for block in spec.blocks
    )
    return spec.model_copy(update={"connectivity": turned(spec.connectivity), "blocks": blocks})


def is_oldest_first(spec: Spec) -> bool:
    """Does every block join from its input on, as the networks whose names are known do?"""
    wirings = [block.connectivity for block in spec.dense_blocks()]
    return not any(w.is_newest_first or w.is_output_newest_first for w in wirings)


def _title_orders(spec: Spec) -> str:
    """`newest_first`, or `newest_first with outputs oldest_first`."""
    words = set()
    for block in spec.dense_blocks():
        wiring = block.connectivity
        words.add((wiring.is_newest_first, wiring.is_output_newest_first))
    if len(words) != 1:
        return "as the spec says"
    (layers, output), *_ = words
    title = ORDERS[layers]
    return title if layers == output else f"{title} with outputs {ORDERS[output]}"


def _remark_unsaid(own: Candidate) -> str:
    unsaid = "a checkpoint does not say in which order its network joins feature maps"
    return f"{unsaid}; taken as {own.title}; --order or --like settles it"


def _remark_moved(
    theirs: Candidate, own: Candidate, tensors: Mapping[str, Floats], found: Mapping[str, Floats]
) -> str:
    count = sum(found[name] is not tensors[name] for name in tensors)
    if not count:
        return ""
    how = f"channels of {count} tensors were put in the spec's order"
    return f"the file joins {theirs.title}, the spec {own.title}: {how}"


def _remark_fits(theirs: Candidate, like: Path, distance: float) -> str:
    near = f"to {distance:.0e} of its largest value"
    return f"joined {theirs.title}, the network gives the output of {like} ({near})"


def _make_fixed_fault(place: FixedOrder, theirs: Candidate, where: str) -> Diagnostic:
    message = f"joins {theirs.title}, and {place} cannot read its channels in another order"
    return Diagnostic("R014", message, where, _BY_HAND)


def _make_unlike_fault(like: Path, distances: Sequence[float], where: str) -> Diagnostic:
    nearest = (
        f"; the nearest is off by {min(distances):.2g} of its largest value" if distances else ""
    )
    message = f"gives the output of {like} in no order of its joins{nearest}"
    hint = "another pairing of the tensors, another network, or another input"
    return Diagnostic("R014", message, where, hint)
