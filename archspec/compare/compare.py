"""Is the network in a file the one that a spec says? Names play no part; every difference is said.

Both graphs are contracted to chains (`chains`), which are paired in running order and get the names
of the spec's stages (`match`). A pair must have equal operators and read the outputs of paired
chains. When all do, the graphs are equal but for names and for the order inside concatenations,
which permutes the channels of the weights that read them and nothing else: that is a note.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import chain, islice

from archspec.compare.chain_pieces import cut_pairs
from archspec.compare.chains import Chain, Pair, contract_to_chains, pair_chains
from archspec.compare.concat_order import compare_join_orders
from archspec.compare.concat_sources import flatten
from archspec.compare.differences import find_leftovers, list_differences, list_order_faults
from archspec.compare.equal_operators import merge_equal_ops, split_merged_ops
from archspec.compare.folded_norms import FoldedNorm, find_folded_norms, unfold_norms
from archspec.compare.match import BlockComparison, Match, compare_blocks
from archspec.compare.notes import write_norm_notes, write_order_notes, write_scale_notes
from archspec.compare.simplify import write_alike
from archspec.compare.sliced_concats import resolve_slices_as_in
from archspec.compare.stored_filters import FiltersOf, agree_on_filters
from archspec.compare.weight_names import find_other_names, note_nameless
from archspec.compare.whole_map_pools import as_it_is_read, have_alike_outputs, simplify_pools
from archspec.compare.zero_biases import AgreedBiases, agree_on_biases
from archspec.errors import Diagnostic
from archspec.graph.ir import Graph
from archspec.operators.table import OPERATORS

MAX_LINES = 1_000
"""Differences that are listed."""

NAMES = "names of what has weights"
ORDER = "order inside concatenations where it only permutes channels of weights"
COMPARED = (
    "operators and their order",
    "what each of them reads",
    "connections of every block",
    "settings of each of them",
    "channels",
    "shape of the input",
    "evaluation mode",
)
NOT_COMPARED = (
    "values of the weights (a connection whose weights are all zero counts as one)",
    NAMES,
    "what matters in training alone, such as dropout and the momentum of norms",
    ORDER,
    "number types and casts",
)


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
    requested: tuple[str, ...] = ()
    """What was compared because someone asked for it."""

    @property
    def is_equal(self) -> bool:
        """The file's network is the spec's."""
        return not self.differences

    @property
    def compared(self) -> tuple[str, ...]:
        """In words, what was compared."""
        return (*COMPARED, *self.requested)

    @property
    def not_compared(self) -> tuple[str, ...]:
        """In words, what was not."""
        return tuple(words for words in NOT_COMPARED if words not in self.requested)


@dataclass(frozen=True, slots=True)
class _Request:
    """What is compared, and what is known of the file; see `compare`."""

    ordered: bool
    named: bool
    zero_biases: AbstractSet[str] | None
    norms_shift: bool
    filters_of: FiltersOf
    copies: AbstractSet[str]


@dataclass(frozen=True, slots=True)
class _Paired:
    """Both networks as chains in pairs, and how many parameters each has."""

    pairs: tuple[Pair, ...]
    folds: tuple[FoldedNorm, ...]
    params: int
    expected_params: int
    scales: int
    """Of the spec's: those that count as part of the norm behind them."""


def compare(
    spec_graph: Graph,
    found: Graph,
    ordered: bool = False,
    named: bool = False,
    zero_biases: AbstractSet[str] | None = None,
    norms_shift: bool = False,
    filters_of: FiltersOf = lambda name: None,
    copies: AbstractSet[str] = frozenset(),
) -> Comparison:
    """Return how a graph without regions, read from a file, differs from a spec's verified graph.

    A concatenation in another order, where only channels of weights are permuted, is a note, or
    with `ordered` a difference; another name is one with `named` alone, of graphs that are equal
    but for names. `zero_biases` are the file's operators whose bias is all zero; where that is not
    None, a bias that is absent is such a one too: exporters of ONNX drop them. `norms_shift` says
    that a norm of the file shifts: then one that was folded would have left a bias. `filters_of`
    gives the filters of one of the file's operators, and is asked where the spec standardizes them
    and the file does not: it may have stored the outcome. `copies` are operators that the file has
    once, and so has no names for.

    Raises:
        ModelFileError: R009, the file's concatenations join more values than any spec may.
    """
    plain = as_it_is_read(spec_graph)
    request = _Request(ordered, named, zero_biases, norms_shift, filters_of, copies)
    as_written = _compare_as(spec_graph, plain, found, request)
    # Without its pool a vector and a map of one pixel are the same operators: no longer told apart.
    if as_written.is_equal or not have_alike_outputs(spec_graph, found):
        return as_written
    ours, theirs = simplify_pools(plain), simplify_pools(found)
    if ours is plain and theirs is found:
        return as_written
    # Of another network, with a map of one pixel where the spec's is larger or the other way round,
    # the pools that were dropped would be said to be missing.
    simplified = _compare_as(spec_graph, ours, theirs, request)
    return min(as_written, simplified, key=_count_faults)


def _count_faults(comparison: Comparison) -> tuple[int, int]:
    """Faults of the structure, which hide those of its operators; and all."""
    faults = comparison.differences
    return sum(fault.code != "R104" for fault in faults), len(faults)


def _compare_as(spec: Graph, plain: Graph, found: Graph, request: _Request) -> Comparison:
    """How `found` differs from `plain`, the spec without what does nothing, in the spec's words."""
    is_traceless = request.zero_biases is not None and not request.norms_shift
    both = _pair_networks(plain, found, is_traceless)
    # Before any difference is looked for: what counts as the spec's must not be said to differ.
    biases = AgreedBiases(both.pairs)
    if request.zero_biases is not None:
        biases = agree_on_biases(both.pairs, request.zero_biases)
    filters = agree_on_filters(biases.pairs, request.filters_of)
    match = Match(spec, plain, filters.pairs)
    blocks, order = compare_blocks(match, found.name), compare_join_orders(match)
    lines = chain(list_differences(match, blocks), list_order_faults(order, request.ordered))
    # What is derived, such as channels, follows from other faults: it is said where it is all.
    differences = _limit_lines(lines) or _limit_lines(find_leftovers(match))
    # A norm in the filters of a blur stands in the file's graph, and is noted as one written out.
    folded = [fold for fold in both.folds if fold.is_conv]
    notes = [
        *write_scale_notes(both.scales),
        *write_norm_notes(folded, match),
        *biases.notes,
        *filters.notes,
    ]
    if not request.ordered:
        notes.extend(write_order_notes(order))
    named = request.named and not differences  # of another network, other names say nothing
    if named:
        differences = _limit_lines(find_other_names(match, request.copies))
        notes.extend(note_nameless(match, request.copies))
    requests = ((NAMES, named), (ORDER, request.ordered))
    requested = tuple(words for words, is_asked in requests if is_asked)
    return Comparison(
        blocks, differences, tuple(notes), both.params, both.expected_params, match, requested
    )


def _pair_networks(whole: Graph, found: Graph, is_traceless: bool) -> _Paired:
    """The order of these steps matters: each relies on what those before it have made alike."""
    # First of all, as a slice of a join hides which values are read.
    plain, found = write_alike(whole, resolve_slices_as_in(whole, found))
    ours, theirs = flatten(plain), merge_equal_ops(flatten(found))
    # Counted before norms are put back: one that was folded away has no parameters in the file.
    params = _count_params(contract_to_chains(theirs))
    # Norms are looked for between merged graphs: how often an operator stands there may differ.
    folds = find_folded_norms(merge_equal_ops(ours), theirs, is_traceless)
    if folds:
        theirs = merge_equal_ops(flatten(unfold_norms(found, folds)))
    expected_chains = contract_to_chains(ours)
    # Last, as the copies of an operator are told apart by what the spec's chains read.
    found_chains = contract_to_chains(split_merged_ops(theirs, ours))
    pairs = cut_pairs(pair_chains(expected_chains, found_chains))
    scales = len(whole.ops) - len(plain.ops)
    return _Paired(pairs, folds, params, _count_params(expected_chains), scales)


def _limit_lines(differences: Iterator[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Each difference once, and as many as anyone reads."""
    # Cut before equal lines are dropped, so that no more are made than are listed: a block of 80
    # layers may lack 3,000 connections.
    listed = tuple(dict.fromkeys(islice(differences, MAX_LINES)))
    more = next(differences, None)
    return (*listed, Diagnostic("R105", f"more than {MAX_LINES:,} differences")) if more else listed


def _count_params(chains: Iterable[Chain]) -> int:
    """Learnable values, those that several operators share counted once."""
    total = 0
    for op in chain.from_iterable(each.ops for each in chains):
        if "weights_of" not in op.attrs:
            total += OPERATORS[op.kind].params(op.attrs)
    return total
