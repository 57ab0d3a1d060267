"""What is collected while a graph is built: operators, regions, shapes and faults."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from archspec.errors import Diagnostic
from archspec.graph.expand import Part, expand_part
from archspec.graph.ir import Op, Region
from archspec.operators.shape_rules import Shape, ShapeFault
from archspec.operators.table import OPERATORS
from archspec.settings import Path
from archspec.spec.spec import Spec


class GraphCollector:
    """Collects operators and regions while a builder walks the spec.

    A value is the name of the operator that makes it.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.ops: list[Op] = []
        self.regions: list[Region] = []
        self.channels: dict[str, int] = {}
        self.shapes: dict[str, Shape] = {}
        self.origins: dict[str, Path] = {}
        """The path in the spec of the step that each operator comes from."""
        self.layers = 0
        """Dense layers that were made."""
        self.mismatches: dict[str, Diagnostic] = {}
        """By place: steps that give other channels than the spec says."""

    def add_op(
        self, name: str, kind: str, inputs: tuple[str, ...], region: str = "", **attrs: Any
    ) -> str:
        """Add an operator, and return what it is called."""
        name = self.find_free_name(name)
        self.ops.append(Op(name, kind, inputs, MappingProxyType(attrs), region))
        self._note_shape(self.ops[-1])
        return name

    def find_free_name(self, name: str) -> str:
        """Return the name, or where an operator has it,
        as a step that the user named may, one that none has.
        """
        if name not in self.channels:
            return name
        numbered = (f"{name}_{number}" for number in itertools.count(2))
        return next(free for free in numbered if free not in self.channels)

    def _note_shape(self, op: Op) -> None:
        """Note what the operator gives; where its inputs do not fit, at least its channels."""
        if all(source in self.shapes for source in op.inputs):
            # Widths of later steps may name this one's channels, so these are needed at once.
            try:
                self.shapes[op.name] = OPERATORS[op.kind].shape(
                    op.attrs, [self.shapes[s] for s in op.inputs]
                )
                self.channels[op.name] = self.shapes[op.name][0]
                return
            except ShapeFault:  # told by build_graph, with all others
                pass
        widths = [self.channels[source] for source in op.inputs]
        self.channels[op.name] = OPERATORS[op.kind].channels(op.attrs, widths)

    def add_region(self, name: str, kind: str, parent: str, origin: Path, **attrs: Any) -> None:
        """Add a region, which a path in the spec declares."""
        self.regions.append(Region(name, kind, parent, MappingProxyType(attrs), origin))

    def add_part(self, part: Part, prefix: str, value: str, region: str, *key: str) -> str:
        """Append a part's operators, called after `prefix`; return the one that gives its output.

        `key` is where the part's origin has its steps.
        """
        origin = self.regions[-1].origin
        made: list[str] = []
        for piece in expand_part(part):
            # -1, what the part reads, may stand anywhere among what a sum or a join reads.
            inputs = []
            for index in piece.reads:
                inputs.append(value if index < 0 else made[index])
            name = f"{prefix}{piece.name}"
            made.append(self.add_op(name, piece.kind, tuple(inputs), region, **piece.attrs))
            self.origins[made[-1]] = (*origin, *key, *piece.path)
        return made[-1] if made else value

    def declare_part(self, steps: Any, value: str, first: int | None = 1, **widths: int) -> Part:
        """Return the declaration of a part that reads `value`,
        in the spec's style, without dropout.
        """
        spec = self.spec
        return Part(
            steps,
            self.channels[value],
            tuple(widths.items()),
            spec.norm,
            spec.activation,
            depth=self.depth(),
            first=first,
        )

    def depth(self) -> float:
        """Return which share of the layers stands before what is made next;
        1 behind the last one.
        """
        last = sum(block.layers for block in self.spec.blocks) - 1
        return min(self.layers / max(last, 1), 1.0)

    def with_dropout(self, part: Part) -> Part:
        """Return the declaration of a part between layers,
        which drops where every convolution is followed by it.
        """
        spec = self.spec
        return (
            replace(part, drop_rate=spec.drop_rate, drop_after="conv")
            if spec.drop_after == "conv"
            else part
        )

    def add_join(self, name: str, values: Sequence[str], region: str) -> str:
        """One value is read as it is, several are concatenated."""
        return values[0] if len(values) == 1 else self.add_op(name, "concat", tuple(values), region)

    def check_channels(
        self, value: str, channels: int, what: str, key: str, paths: Sequence[Path]
    ) -> None:
        """Note a fault where a part's steps give other channels than the spec says."""
        found = self.channels[value]
        if found != channels:
            message = f"{what} gives {found} channels, {key} (={channels}) says another number"
            self.note_fault(message, paths, "end it with a convolution of width `out`")

    def note_fault(self, message: str, paths: Sequence[Path], hint: str) -> None:
        """Note a fault at the first of the paths that the spec says, one for each place."""
        place = self.spec.place(*paths) or self.spec.name
        self.mismatches.setdefault(place, Diagnostic("G006", message, place, hint))

    def find_block_origin(self) -> Path:
        """Return the path of the block that was begun last."""
        return next(
            region.origin for region in reversed(self.regions) if region.kind == "dense_block"
        )
