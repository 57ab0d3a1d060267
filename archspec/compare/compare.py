"""Is the network in a file the one that a spec says? Names play no part; every difference is said.

Both graphs are contracted to chains (`chains`), which are paired in running order and get the names of the
spec's stages (`stages`). A pair must have equal operators and read the outputs of paired chains. When all do,
the graphs are equal but for names and for the order inside concatenations, which permutes the channels of the
weights that read them and nothing else: that is a note.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from archspec.compare.block_count import blocks_found
from archspec.compare.chain_pieces import cut
from archspec.compare.chains import Chain, contracted, paired
from archspec.compare.concat_order import Order, order_of
from archspec.compare.concat_sources import flat
from archspec.compare.equal_operators import merged, parted
from archspec.compare.folded_norms import Folded, folded_norms, unfolded
from archspec.compare.match import BlockComparison, Match, compared_blocks, surplus_layers
from archspec.compare.missing_connections import connection_lines
from archspec.compare.simplify import as_it_is_read, written_alike
from archspec.compare.sliced_concats import sliced_alike
from archspec.compare.weight_names import nameless, other_names
from archspec.compare.zero_biases import Settled, settled
from archspec.errors import Diagnostic, counted
from archspec.graph.ir import Graph, Op
from archspec.operators.operator import DERIVED
from archspec.operators.table import OPERATORS
from archspec.spec.parts import compressed

MAX_LINES = 1_000
"""Differences that are listed."""

NAMES = "names of what has weights"
ORDER = "order inside concatenations where it only permutes channels of weights"
COMPARED = (
    "operators and their order",
    "what each of them reads",
    "connections of every block",
    "kernel, stride, padding, dilation, groups, bias, eps",
    "channels",
    "shape of the input",
    "evaluation mode",
)
NOT_COMPARED = (
    "values of the weights (a connection whose weights are all zero counts as one)",
    NAMES,
    "dropout, which does nothing in evaluation mode",
    "momentum of batch norms",
    ORDER,
    "number types and casts",
)

_WORDS: Mapping[str, str] = {
    "out_channels": "has {found} outputs, the spec says {expected}",
    "bias": "has bias {found}, the spec says {expected}",
    "weights_of": "shares the weights of {found}, the spec says that it has its own",
    "shape": "is an image (C, H, W) of {found}, the spec says {expected}",
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """What `compare` found."""

    blocks: tuple[BlockComparison, ...]
    differences: tuple[Diagnostic, ...]
    notes: tuple[str, ...]
    params: int
    expected_params: int
    match: Match
    """Which operators of the file are which of the spec's."""
    asked: tuple[str, ...] = ()
    """What was compared because someone asked for it."""

    @property
    def equal(self) -> bool:
        """The file's network is the spec's."""
        return not self.differences

    @property
    def compared(self) -> tuple[str, ...]:
        """In words, what was compared."""
        return (*COMPARED, *self.asked)

    @property
    def not_compared(self) -> tuple[str, ...]:
        """In words, what was not."""
        return tuple(words for words in NOT_COMPARED if words not in self.asked)


def compare(
    spec_graph: Graph,
    found: Graph,
    ordered: bool = False,
    named: bool = False,
    zero_biases: AbstractSet[str] | None = None,
    norms_shift: bool = False,
) -> Comparison:
    """Return how a graph without regions, read from a file, differs from a spec's verified graph.

    A concatenation in another order, where only channels of weights are permuted, is a note, or
    with `ordered` a difference; another name is one with `named` alone, of graphs that are equal
    but for names. `zero_biases` are the file's operators whose bias is all zero; where that is not
    None, a bias that is absent is such a one too: exporters of ONNX drop them. `norms_shift` says
    that a norm of the file shifts: then one that was folded would have left a bias.

    Raises:
        ModelFileError: R009, the file's concatenations join more values than any spec may.
    """
    whole = as_it_is_read(spec_graph)
    plain, found = written_alike(whole, sliced_alike(whole, found))
    ours, theirs = flat(plain), merged(flat(found))
    params = _params(op for part in contracted(theirs) for op in part.ops)
    is_traceless = zero_biases is not None and not norms_shift
    folds = folded_norms(contracted(merged(ours)), contracted(theirs), is_traceless)
    theirs = merged(flat(unfolded(found, folds))) if folds else theirs
    expected_chains, found_chains = contracted(ours), contracted(parted(theirs, ours))
    pairs = cut(paired(expected_chains, found_chains))
    biases = Settled(pairs) if zero_biases is None else settled(pairs, zero_biases)
    match = Match(spec_graph, biases.pairs)
    blocks, order = compared_blocks(match, found.name), order_of(match)
    lines = chain(_differences(match, blocks), _orders(order, ordered))
    differences = _listed(lines) or _listed(_leftovers(match))
    named = named and not differences  # of another network, other names say nothing
    return Comparison(
        blocks,
        _listed(other_names(match)) if named else differences,
        (
            *_scale_notes(len(whole.ops) - len(plain.ops)),
            *_norm_notes(folds, match),
            *biases.notes,
            *(() if ordered else _notes(order)),
            *(nameless(match) if named else ()),
        ),
        params,
        _params(op for part in expected_chains for op in part.ops),
        match,
        tuple(words for words, is_asked in ((NAMES, named), (ORDER, ordered)) if is_asked),
    )


def _listed(differences: Iterator[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Each difference once, and as many as anyone reads."""
    listed = tuple(dict.fromkeys(islice(differences, MAX_LINES)))
    more = next(differences, None)
    return (*listed, Diagnostic("R105", f"more than {MAX_LINES:,} differences")) if more else listed


def _leftovers(match: Match) -> Iterator[Diagnostic]:
    """What no line above says: none is known, and equal means that there is none."""
    yield from _attributes(match, derived=True)
    if any(expected is None or found is None for expected, found in match.pairs):
        yield Diagnostic("R102", "the network has other stages than the spec says")


def _differences(match: Match, blocks: Sequence[BlockComparison]) -> Iterator[Diagnostic]:
    alone = list(_alone(match))
    number, expected = blocks_found(match) if alone else None, len(blocks)
    if number is not None and number != expected:
        yield Diagnostic(
            "R101", f"the file has {counted(number, 'block')}, the spec says {expected}"
        )
    ours, theirs = (
        sum(c is not None and c.is_output for c in each) for each in zip(*match.pairs, strict=True)
    )
    if ours != theirs:
        yield Diagnostic(
            "R101", f"the network has {counted(theirs, 'output')}, the spec says {ours}"
        )
    for block in blocks:
        if block.layers != block.expected_layers:
            message = f"{match.titles[block.block]} has {block.layers} layers, the spec says {block.expected_layers}"
            yield Diagnostic("R101", message)
    yield from alone
    yield from _compositions(match)
    yield from (Diagnostic("R103", line) for line in connection_lines(match))
    for block in blocks:
        if block.layers == block.expected_layers:
            yield from _connections(match, block)
    yield from _attributes(match, derived=False)


def _compositions(match: Match) -> Iterator[Diagnostic]:
    """Pairs of chains with different operators, those that differ alike in one line."""
    alike: dict[str, list[str]] = {}
    for expected, found in match.both:
        if expected.classes != found.classes:
            theirs, ours = (", ".join(op.kind for op in chain.ops) for chain in (found, expected))
            alike.setdefault(f"{theirs}; the spec says {ours}", []).append(match.title(expected))
    for words, titles in alike.items():
        who = (
            f"{titles[0]} and {len(titles) - 1} more consist"
            if titles[1:]
            else f"{titles[0]} consists"
        )
        yield Diagnostic("R102", f"{who} of {words}")


def _alone(match: Match) -> Iterator[Diagnostic]:
    """Chains without a partner that are no layers of a block."""
    after, there = "the input", {expected.region for expected, _ in match.both}
    for (expected, found), layer in zip(match.pairs, surplus_layers(match), strict=True):
        if any(chain is not None and chain.is_output for chain in (expected, found)):
            return
        if (
            expected is None
            and found is not None
            and layer is None
            and found.ops[0].kind != "concat"
        ):
            kinds = ", ".join(op.kind for op in found.ops)
            yield Diagnostic(
                "R102", f"{after} is followed by {kinds}, which the spec does not have"
            )
        elif found is None and expected is not None:
            yield from _missing(match, expected, expected.region in there)
        after = match.title(expected) if expected else after


def _missing(match: Match, expected: Chain, in_part: bool) -> Iterator[Diagnostic]:
    """A chain of the spec that the file has not, the part that it belongs to otherwise there or not."""
    first, region = expected.ops[0], match.spec.regions.get(expected.region)
    if (
        region is not None
        and region.attrs.get("skip")
        and first.kind == region.attrs["join"]
        and in_part
    ):
        yield Diagnostic(
            "R103", f"{match.title(expected)} does not read {match.skip_title(region.name)}"
        )
    elif region is not None and region.kind == "dense_block" and first.kind == "add":
        yield Diagnostic(
            "R103", f"{match.titles[region.name]} does not add its input to its output"
        )
    elif expected.region in match.layers and in_part:
        yield Diagnostic(
            "R102", f"{match.title(expected)} lacks {', '.join(op.kind for op in expected.ops)}"
        )
    elif expected.region not in match.layers and first.kind != "concat":
        yield Diagnostic("R102", f"{match.title(expected)} is missing")


def _orders(order: Order, ordered: bool) -> Iterator[Diagnostic]:
    yield from (Diagnostic("R103", fault) for fault in order.faults)
    if ordered:
        yield from (
            Diagnostic("R103", f"{reader} joins its sources in another order")
            for reader in order.reordered
        )


def _connections(match: Match, block: BlockComparison) -> Iterator[Diagnostic]:
    for edges, verb in ((block.missing, "does not read"), (block.surplus, "must not read")):
        for layer, source in edges:
            of = f"layer {source}" if source else "the block's input"
            yield _edge(f"{match.titles[block.block]}, layer {layer}", of, verb)


def _edge(reader: str, source: str, verb: str) -> Diagnostic:
    return Diagnostic("R103", f"{reader} {verb} {source}")


def _attributes(match: Match, derived: bool) -> Iterator[Diagnostic]:
    """Compare operators in pairs; what several of them have in common is said once."""
    alike: dict[str, list[str]] = {}
    for expected, found in match.both:
        if expected.classes == found.classes:
            for ours, theirs in zip(expected.ops, found.ops, strict=True):
                for words in _of_operator(match, ours, theirs, derived):
                    alike.setdefault(words, []).append(ours.name)
    for words, names in alike.items():
        if len(names) <= 3:
            yield from (Diagnostic("R104", f"{name} {words}", name) for name in names)
            continue
        verb, rest = words.split(" ", 1)
        verb = {"has": "have", "is": "are", "shares": "share"}[verb]
        yield Diagnostic("R104", f"{names[0]} and {len(names) - 1} more {verb} {rest}", names[0])


def _of_operator(match: Match, expected: Op, found: Op, derived: bool) -> Iterator[str]:
    if expected.kind != found.kind:
        yield f"is {found.kind}, the spec says {expected.kind}"
        return
    row = OPERATORS[expected.kind]
    ours, theirs = {**row.defaults, **expected.attrs}, {**row.defaults, **found.attrs}
    for name in {**ours, **theirs}:
        if (
            name in row.in_training
            or (name in DERIVED) != derived
            or _untold(name, found)
            or _same(ours.get(name), theirs.get(name))
        ):
            continue
        if name == "out_channels" and _follows(match, expected, theirs):
            continue
        words = _WORDS.get(name, f"has {name} {{found}}, the spec says {{expected}}")
        yield words.format(found=_shown(theirs.get(name)), expected=_shown(ours.get(name)))


def _untold(name: str, found: Op) -> bool:
    """The file does not tell: the eps of a norm that is folded or written out, the slope that a PReLU starts from."""
    return name in found.attrs and found.attrs[name] is None


def _follows(match: Match, expected: Op, theirs: Mapping[str, Any]) -> bool:
    """A transition whose width is right for what it reads: another line says why it reads something else."""
    region = match.spec.regions.get(expected.region)
    if (
        region is None
        or region.kind != "transition"
        or theirs["in_channels"] == expected.attrs["in_channels"]
    ):
        return False
    if expected.attrs["out_channels"] == expected.attrs["in_channels"]:
        return bool(theirs["out_channels"] == theirs["in_channels"])
    compression = region.attrs["compression"]
    return bool(
        compression and theirs["out_channels"] == compressed(theirs["in_channels"], compression)
    )


def _same(expected: Any, found: Any) -> bool:
    """Equal, or stored as the same float32."""
    if isinstance(expected, float) and isinstance(found, float):
        return struct.pack("f", expected) == struct.pack("f", found)
    return bool(expected == found)


def _shown(value: Any) -> str:
    return " x ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _norm_notes(folds: Sequence[Folded], match: Match) -> Iterator[str]:
    """Norms that are there but do not stand in the file as such."""
    found = (op for _, chain in match.both for op in chain.ops if op.kind == "batch_norm")
    held = {fold.found.name for fold in folds}
    written = sum(_untold("eps", op) and op.name.split(" norm ")[0] not in held for op in found)
    traceless = sum(not fold.found.attrs.get("bias") for fold in folds)
    if len(folds) > traceless:
        yield _norm_note(len(folds) - traceless, "folded into the convolution before")
    if traceless:
        yield _norm_note(
            traceless,
            "folded into a convolution that has no bias in the file",
            ", and a norm that shifts by zero is not told from none",
        )
    if written:
        yield _norm_note(written, "written as a scale and a shift")


def _scale_notes(number: int) -> Iterator[str]:
    if number:
        verb = "is" if number == 1 else "are"
        norms = "batch norms that are written as a scale and a shift"
        yield f"{counted(number, 'scale')} before {norms} {verb} not told from the norms' own"


def _norm_note(number: int, how: str, more: str = "") -> str:
    verb = "is" if number == 1 else "are"
    return f"{counted(number, 'batch norm')} {verb} {how}: eps is not compared there{more}"


def _notes(order: Order) -> Iterator[str]:
    if order.reordered and not order.faults:
        more = (
            f" and {len(order.reordered) - 1} more join their"
            if order.reordered[1:]
            else " joins its"
        )
        words = "sources in another order: the same network with the channels of weights permuted"
        yield f"{order.reordered[0]}{more} {words}"


def _params(ops: Iterator[Op]) -> int:
    """Learnable values, those that several operators share counted once."""
    return sum(OPERATORS[op.kind].params(op.attrs) for op in ops if "weights_of" not in op.attrs)
