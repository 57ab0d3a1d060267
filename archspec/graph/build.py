"""From a Spec to a Graph. Names are torchvision's places, so that weights find theirs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from archspec.connectivity_rules import around, bypasses, gathered, sources
from archspec.errors import Diagnostic, GraphError
from archspec.graph.expand import Part, expand
from archspec.graph.ir import Graph, Op, Region
from archspec.graph.shape_causes import causes
from archspec.graph.shapes import infer_shapes
from archspec.operators.shapes import Shape, ShapeFault
from archspec.operators.table import OPERATORS
from archspec.settings import Path
from archspec.spec.connectivity import ConnectivitySpec
from archspec.spec.model import Block, Spec
from archspec.spec.parts import TransitionSpec
from archspec.spec.reading.validation_errors import in_reading_order
from archspec.spec.templates import steps_of


def build_graph(spec: Spec) -> Graph:
    """Return the graph of a spec: input, stem, dense blocks with transitions between them, head.

    Raises:
        GraphError: G006, each setting of the spec that leaves no pixel or no channel, and each list of steps that
            gives other channels than the spec says, at its place.
    """
    builder = _Builder(spec)
    value = builder.op(
        "input", "input", (), shape=(spec.input.channels, spec.input.height, spec.input.width)
    )
    value = builder.stem(value)
    transitions = spec.transitions_in_order()
    outputs: dict[int | str, str] = {"stem": value}
    for number, block in enumerate(spec.dense_blocks(), start=1):
        value = builder.dense_block(f"features.denseblock{number}", block, value, number)
        outputs[number] = value
        if number <= len(transitions):
            value = builder.transition(
                f"features.transition{number}", transitions[number - 1], value, number, outputs
            )
    for number in spec.features:
        builder.op(f"feature{number}", "output", (outputs[number],))
    builder.head(value)
    graph = Graph.of(spec.name, builder.ops, builder.regions)
    _, faults = infer_shapes(graph)
    widths = [region.attrs.get("out_channels", 1) for region in builder.regions]
    if faults or builder.unlike or min(widths) < 1:
        raise GraphError(
            [
                *causes(graph, spec, faults, builder.origins),
                *in_reading_order(builder.unlike.values(), spec.written().values()),
            ]
        )
    return graph


class _Builder:
    """Collects operators and regions while it walks the spec; a value is the name of the op that makes it."""

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
        self.unlike: dict[str, Diagnostic] = {}
        """By place: steps that give other channels than the spec says."""

    def op(
        self, name: str, kind: str, inputs: tuple[str, ...], region: str = "", **attrs: Any
    ) -> str:
        name = self.free(name)
        self.ops.append(Op(name, kind, inputs, MappingProxyType(attrs), region))
        self._measure(self.ops[-1])
        return name

    def free(self, name: str) -> str:
        """Return the name, or where an operator has it, as a step that the user named may, one that none has."""
        numbered = (f"{name}_{number}" for number in itertools.count(2))
        return next(free for free in itertools.chain([name], numbered) if free not in self.channels)

    def _measure(self, op: Op) -> None:
        """Note what the operator gives; where its inputs do not fit, at least its channels."""
        if all(source in self.shapes for source in op.inputs):
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

    def region(self, name: str, kind: str, parent: str, origin: Path, **attrs: Any) -> None:
        self.regions.append(Region(name, kind, parent, MappingProxyType(attrs), origin))

    def part(self, part: Part, prefix: str, value: str, region: str, *key: str) -> str:
        """Append a part's operators, called after `prefix`; return the one that gives its output.

        `key` is where the part's origin has its steps.
        """
        region_made = self.regions[-1]
        names: list[str] = []
        for piece in expand(part):
            inputs = tuple(value if index < 0 else names[index] for index in piece.reads)
            names.append(
                self.op(f"{prefix}{piece.name}", piece.kind, inputs, region, **piece.attrs)
            )
            self.origins[names[-1]] = (*region_made.origin, *key, *piece.path)
        return names[-1] if names else value

    def declared(self, steps: Any, value: str, first: int | None = 1, **widths: int) -> Part:
        """Return the declaration of a part that reads `value`, in the spec's style, without dropout."""
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
        """Return which share of the layers stands before what is made next; 1 behind the last one."""
        last = sum(block.layers for block in self.spec.blocks) - 1
        return min(self.layers / max(last, 1), 1.0)

    def dropping(self, part: Part) -> Part:
        """Return the declaration of a part between layers, which drops where every convolution is followed by it."""
        spec = self.spec
        return (
            replace(part, drop_rate=spec.drop_rate, drop_after="conv")
            if spec.drop_after == "conv"
            else part
        )

    def stem(self, value: str) -> str:
        spec = self.spec
        growth = {} if spec.growth_rate is None else {"k": spec.growth_rate}
        out = spec.stem.channels or 2 * growth.get("k", 0)
        widths = {**growth, **({"out": out} if out else {})}
        part = self.declared(spec.stem.listed(), value, first=0, **widths)
        declared = {
            "in_channels": self.channels[value],
            "part": part,
            **({"out_channels": out} if out else {}),
        }
        if not expand(part):
            return value
        self.region("stem", "stem", "", ("stem",), **declared)
        return self.part(part, "features.", value, "stem", "steps")

    def dense_block(self, name: str, block: Block, value: str, number: int) -> str:
        wiring, layers, origin = block.connectivity, len(block.widths), ("blocks", number - 1)
        self.region(
            name,
            "dense_block",
            "",
            origin,
            connectivity=wiring,
            num_layers=layers,
            in_channels=self.channels[value],
            growth_rate=block.growth_rate,
            bottleneck=block.bottleneck,
            widths=block.widths,
            aggregated=self.aggregates(block, value),
            residual=block.residual,
        )
        around_layers, entering = self.split(name, block, value)
        made = [entering]
        for index in range(1, layers + 1):
            joined = self.join(
                f"{name}.concat{index}", [made[j] for j in sources(wiring, index)], name
            )
            made.append(self.dense_layer(f"{name}.denselayer{index}", block, index, joined, name))
        self.all_read(name, wiring, layers, origin)
        value_out = self.join(f"{name}.concat", [made[j] for j in gathered(wiring, layers)], name)
        value_out = self.aggregate(f"{name}.aggregate", block, value_out, name, number)
        parts = [*around_layers, value_out]
        if wiring.bypass == "last":
            parts.reverse()
        value_out = self.join(f"{name}.fuse", parts, name)
        if block.residual:
            return self.op(f"{name}.sum", "add", (value_out, value), name)
        return value_out

    def all_read(self, name: str, wiring: ConnectivitySpec, layers: int, origin: Path) -> None:
        """Note a fault where neither a later layer nor the output reads a layer."""
        read = set(gathered(wiring, layers)).union(
            *(sources(wiring, index) for index in range(1, layers + 1))
        )
        unread = [str(index) for index in range(1, layers + 1) if index not in read]
        if unread:
            paths = [("connectivity", "output"), ("connectivity", "edges"), ("connectivity",)]
            message = f"{name}: nothing reads layer {', '.join(unread[:5])}"
            hint = "let a later layer or the output read it"
            self.fault(message, [*((*origin, *path) for path in paths), *paths], hint)

    def join(self, name: str, values: Sequence[str], region: str) -> str:
        """One value is read as it is, several are concatenated."""
        return values[0] if len(values) == 1 else self.op(name, "concat", tuple(values), region)

    def split(self, name: str, block: Block, value: str) -> tuple[list[str], str]:
        """Return what goes round the layers of a block, if anything, and what enters them."""
        if not bypasses(block.connectivity):
            return [], value
        channels = self.channels[value]
        border = around(block.connectivity, channels)
        bypass = self.op(f"{name}.bypass", "slice", (value,), name, start=0, stop=border)
        entering = self.op(f"{name}.entering", "slice", (value,), name, start=border, stop=channels)
        return [bypass], entering

    def dense_layer(self, name: str, block: Block, index: int, value: str, parent: str) -> str:
        growth = block.widths[index - 1]
        widths = {"out": growth, "k": growth, "bottleneck": block.bottleneck * growth}
        part = self.declared(block.steps_of_layer(index), value, **widths)
        part = replace(part, drop_rate=block.drop_rate, drop_after=self.spec.drop_after)
        self.layers += 1
        origin = self.block_origin()
        own = (*origin, "layer_at", str(index)) if index in block.steps_at else ()
        self.region(
            name,
            "dense_layer",
            parent,
            own or origin,
            in_channels=self.channels[value],
            growth_rate=growth,
            bottleneck=block.bottleneck,
            part=part,
        )
        made = self.part(part, f"{name}.", value, name, *([] if own else ["layer"]))
        paths = (own, origin) if own else ((*origin, "layer"), ("layer",), origin)
        self.gives(made, growth, f"{name}: the layer", "growth_rate", paths)
        if made == value:
            self.fault(
                f"{name}: the layer has no operator",
                paths,
                "it must give its growth rate's channels",
            )
        return made

    def gives(self, value: str, channels: int, what: str, key: str, paths: Sequence[Path]) -> None:
        """Note a fault where a part's steps give other channels than the spec says."""
        found = self.channels[value]
        if found != channels:
            message = f"{what} gives {found} channels, {key} (={channels}) says another number"
            self.fault(message, paths, "end it with a convolution of width `out`")

    def fault(self, message: str, paths: Sequence[Path], hint: str) -> None:
        place = self.spec.place(*paths) or self.spec.name
        self.unlike.setdefault(place, Diagnostic("G006", message, place, hint))

    def block_origin(self) -> Path:
        return next(
            region.origin for region in reversed(self.regions) if region.kind == "dense_block"
        )

    def aggregates(self, block: Block, value: str) -> bool:
        """Whether operators stand behind a block's join: steps such as `none` come to nothing."""
        if block.aggregate is None:
            return False
        steps = block.aggregate.listed()
        part = replace(self.declared(steps, value, first=None, out=1), depth=1.0)
        return bool(expand(self.dropping(part)))

    def aggregate(self, name: str, block: Block, value: str, parent: str, number: int) -> str:
        if block.aggregate is None:
            return value
        out = block.aggregate.wide(self.channels[value])
        part = self.dropping(self.declared(block.aggregate.listed(), value, first=None, out=out))
        origin = ("blocks", number - 1, "aggregate")
        attrs = {"in_channels": self.channels[value], "out_channels": out, "part": part}
        if expand(part):
            self.region(name, "aggregation", parent, origin, **attrs)
            value = self.part(part, f"{name}.", value, name, "steps")
        if block.aggregate.channels is not None:
            self.gives(value, out, name, "channels", ((*origin, "channels"), origin))
        return value

    def transition(
        self,
        name: str,
        transition: TransitionSpec,
        value: str,
        number: int,
        made: Mapping[int | str, str],
    ) -> str:
        channels, out = self.channels[value], transition.wide(self.channels[value])
        part = self.dropping(self.declared(transition.listed(), value, first=None, out=out))
        said = (("transitions", number - 1, "channels"), ("transition", "channels"))
        if not expand(part) and transition.skip is None:
            self.gives(value, transition.channels or channels, name, "channels", said)
            return value
        skip = made[transition.skip] if transition.skip else ""
        self.region(
            name,
            "transition",
            "",
            ("transitions", number - 1),
            in_channels=channels,
            out_channels=out,
            compression=transition.compression,
            part=part,
            skip=transition.skip or 0,
            crop=transition.crop,
            join=transition.join,
            skip_first=transition.order == "skip_first",
            after=self.after(transition, part, skip),
        )
        after = self.regions[-1].attrs["after"]
        value = self.part(part, f"{name}.", value, name, "steps")
        self.gives(value, transition.channels or self.channels[value], name, "channels", said)
        if not skip:
            return value
        if transition.crop:
            value = self.crop(f"{name}.crop", value, skip, name)
        joined = (skip, value) if transition.order == "skip_first" else (value, skip)
        value = self.op(f"{name}.join", transition.join, joined, name)
        return self.part(after, f"{name}.after.", value, name, "after")

    def after(self, transition: TransitionSpec, part: Part, skip: str) -> Part:
        """Return the declaration of what stands behind a transition's join."""
        pieces = expand(part)
        channels = pieces[-1].channels if pieces else part.channels
        joined = (
            channels + self.channels[skip] if skip and transition.join == "concat" else channels
        )
        return replace(
            part, steps=steps_of("transitions", transition.after or "none"), channels=joined
        )

    def crop(self, name: str, value: str, model: str, region: str) -> str:
        """Cut the centre out of a feature map, of the size of another."""
        size, there = (self.shapes.get(v, (1, 1, 1))[1:] for v in (model, value))
        corner = tuple((a - b) // 2 for a, b in zip(there, size, strict=True))
        return self.op(name, "crop", (value,), region, size=size, corner=corner)

    def end(self, value: str) -> None:
        """Note a fault where features leave out the last block, which nothing behind it reads."""
        features, last = self.spec.features, len(self.spec.blocks)
        is_block = any(
            region.kind == "dense_block" and value.startswith(f"{region.name}.")
            for region in self.regions
        )
        if features and last not in features and is_block:
            listed = ", ".join(map(str, features))
            message = f"features (={listed}) must name block {last} too: without a head nothing else reads it"
            self.fault(message, (("features",),), "name it, or leave the block out")

    def head(self, value: str) -> str:
        head = self.spec.head
        part = replace(
            self.declared(head.listed(), value, first=None, out=head.num_classes),
            drop_rate=head.dropout,
        )
        pieces = expand(part)
        if not pieces:
            self.end(value)
            return value
        features = all(OPERATORS[piece.kind].carries for piece in pieces)
        classes = pieces[-1].channels if features else head.num_classes
        self.region(
            "head", "head", "", ("head",), in_channels=part.channels, num_classes=classes, part=part
        )
        made = self.part(part, "", value, "head", "steps")
        self.gives(made, classes, "the head", "head.num_classes", _HEAD)
        return made


_HEAD: Sequence[Path] = (("head", "steps"), ("head",))
