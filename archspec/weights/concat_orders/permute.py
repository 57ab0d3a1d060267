"""Weights for the same network with its concatenations in another order.

Both graphs are walked in parallel. For each value it is known where its channels stand in the other
network, `ours[c] = theirs[p[c]]`: a concatenation composes p, what works on each channel by itself
passes it on, with its own vectors permuted alike, and a convolution or a dense layer ends it, with
its weights permuted over what they read.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from archspec.graph.ir import Graph, Op
from archspec.graph.shapes import infer_shapes
from archspec.operators.table import OPERATORS
from archspec.weights.formats.number_types import Floats

Places = npt.NDArray[np.intp]


class FixedOrder(Exception):
    """An operator, by its name, whose channels cannot be read in another order."""


def permute_weights(own: Graph, theirs: Graph, tensors: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return tensors with which one network gives what another gives with those given.

    Args:
        own: the network that is to have the result.
        theirs: the network of the tensors; it differs in the order in which it concatenates alone.
        tensors: by name.

    Raises:
        FixedOrder: an operator tells channels apart by their place, or adds differently joined
            ones.
    """
    walk = _PermutationWalk(own, theirs, dict(tensors))
    for op in own.ops.values():
        walk.places[op.name] = walk.pass_op(op)
    if any(map(_is_moved, (walk.places[name] for name in own.outputs))):
        raise FixedOrder("the output")
    return walk.tensors


def _is_moved(places: Places) -> bool:
    return bool((places != np.arange(len(places))).any())


class _PermutationWalk:
    """Both graphs, where the channels of each value stand, and the tensors on their way."""

    def __init__(self, own: Graph, theirs: Graph, tensors: dict[str, Floats]) -> None:
        self.own = own
        self.theirs = theirs
        self.tensors = tensors
        self.shapes, _ = infer_shapes(own)
        self.places: dict[str, Places] = {}

    def pass_op(self, op: Op) -> Places:
        """Return where the channels of an operator's output stand."""
        if op.kind == "concat":
            return self._join(op, self.theirs.ops[op.name])
        moved = [name for name in op.inputs if _is_moved(self.places[name])]
        unmoved = np.arange(self.shapes[op.name][0])
        if not moved:
            return unmoved
        row = OPERATORS[op.kind]
        if row.tells_places(op.attrs):
            raise FixedOrder(op.name)
        read = self.places[moved[0]]
        for name in op.inputs:
            self._permute_operand(name, read, op)
        if row.mixes(op.attrs):
            self._permute(op, "weight", read, row.axis_read)
            return unmoved
        self._permute_all(op, read)
        return read

    def _join(self, own: Op, theirs: Op) -> Places:
        widths = [len(self.places[name]) for name in theirs.inputs]
        begins = dict(zip(theirs.inputs, np.cumsum([0, *widths[:-1]]), strict=True))
        return np.concatenate([begins[name] + self.places[name] for name in own.inputs])

    def _permute_operand(self, name: str, wanted: Places, reader: Op) -> None:
        """Have another operand of a sum or product stand alike, if what makes it is free to."""
        if np.array_equal(self.places[name], wanted):
            return
        op = self.own.ops[name]
        # Another reader would meet permuted channels too, and expects them as they are.
        is_shared = self.own.digraph.out_degree(name) > 1
        row = OPERATORS[op.kind]
        is_fixed = row.tells_places(op.attrs) or _is_moved(self.places[name])
        if is_shared or len(op.inputs) != 1 or is_fixed:
            raise FixedOrder(reader.name)
        if row.mixes(op.attrs):
            self._permute(op, "weight", wanted, row.axis_made)
            self._permute(op, "bias", wanted)
        else:
            self._permute_all(op, wanted)
            self._permute_operand(op.inputs[0], wanted, reader)
        self.places[name] = wanted

    def _permute_all(self, op: Op, places: Places) -> None:
        """Tensors with a number, or a filter, for each channel."""
        for role in OPERATORS[op.kind].tensors(op.attrs):
            self._permute(op, role, places)

    def _permute(self, op: Op, role: str, places: Places, axis: int = 0) -> None:
        name = f"{op.name}.{role}"
        if name in self.tensors:
            self.tensors[name] = np.ascontiguousarray(self.tensors[name].take(places, axis))
