"""From a Spec to a Graph. Names are torchvision's places, so that weights find theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from archspec.connectivity_rules import (
    count_bypassing,
    has_bypass,
    sources_of_layer,
    sources_of_output,
)
from archspec.errors import GraphError
from archspec.graph.collect import GraphCollector
from archspec.graph.expand import Part, expand_part
from archspec.graph.ir import Graph
from archspec.graph.shape_causes import find_causes
from archspec.graph.shapes import infer_shapes, keep_shapes
from archspec.operators.table import OPERATORS
from archspec.settings import Path
from archspec.spec.connectivity import ConnectivitySpec
from archspec.spec.reading.validation_errors import sort_by_place
from archspec.spec.spec import Block, Spec
from archspec.spec.templates import resolve_steps
from archspec.spec.transition import TransitionSpec


def build_graph(spec: Spec) -> Graph:
    """Return the graph of a spec: input, stem, dense blocks with transitions between them, head.

    Raises:
        GraphError: G006, each setting of the spec that leaves no pixel or no channel, and each list
            of steps that gives other channels than the spec says, at its place.
    """
    builder = _GraphBuilder(spec)
    value = builder.add_op(
        "input", "input", (), shape=(spec.input.channels, spec.input.height, spec.input.width)
    )
    value = builder.add_stem(value)
    transitions = spec.transitions_in_order()
    outputs: dict[int | str, str] = {"stem": value}
    for number, block in enumerate(spec.dense_blocks(), start=1):
        value = builder.add_dense_block(f"features.denseblock{number}", block, value, number)
        outputs[number] = value
        if number == len(spec.blocks):
            # Before a transition that gives the network's last output: they stand in this order.
            builder.add_features(outputs)
        if number <= len(transitions):
            value = builder.add_transition(
                f"features.transition{number}", transitions[number - 1], value, number, outputs
            )
    builder.add_head(value)
    graph = Graph.of(spec.name, builder.ops, builder.regions)
    keep_shapes(graph, builder.shapes)
    _, faults = infer_shapes(graph)
    attrs = (region.attrs for region in builder.regions)
    widths = [each["out_channels"] for each in attrs if "out_channels" in each]
    if faults or builder.mismatches or min(widths, default=1) < 1:
        raise GraphError(
            [
                *find_causes(graph, spec, faults, builder.origins),
                *sort_by_place(builder.mismatches.values(), spec.written().values()),
            ]
        )
    return graph


class _GraphBuilder(GraphCollector):
    """Adds the parts of a network in running order."""

    def add_stem(self, value: str) -> str:
        spec = self.spec
        growth = {} if spec.growth_rate is None else {"k": spec.growth_rate}
        out = spec.stem.channels or 2 * growth.get("k", 0)
        widths = {**growth, **({"out": out} if out else {})}
        part = self.declare_part(spec.stem.steps_resolved(), value, first=0, **widths)
        declared = {
            "in_channels": self.channels[value],
            "part": part,
            **({"out_channels": out} if out else {}),
        }
        if not expand_part(part):
            return value
        self.add_region("stem", "stem", "", ("stem",), **declared)
        return self.add_part(part, "features.", value, "stem", "steps")

    def add_dense_block(self, name: str, block: Block, value: str, number: int) -> str:
        wiring, layers, origin = block.connectivity, len(block.widths), ("blocks", number - 1)
        self.add_region(
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
            aggregated=self.has_aggregation(block, value),
            residual=block.residual,
        )
        around_layers, entering = self.split_input(name, block, value)
        made = [entering]
        for index in range(1, layers + 1):
            joined = self.add_join(
                f"{name}.concat{index}", [made[j] for j in sources_of_layer(wiring, index)], name
            )
            made.append(
                self.add_dense_layer(f"{name}.denselayer{index}", block, index, joined, name)
            )
        self.check_layers_are_read(name, wiring, layers, origin)
        value_out = self.add_join(
            f"{name}.concat", [made[j] for j in sources_of_output(wiring, layers)], name
        )
        # What goes round the layers goes round their aggregation too.
        value_out = self.add_aggregation(f"{name}.aggregate", block, value_out, name, number)
        parts = [*around_layers, value_out]
        if wiring.bypass == "last":
            parts.reverse()
        value_out = self.add_join(f"{name}.fuse", parts, name)
        if block.residual:
            return self.add_op(f"{name}.sum", "add", (value_out, value), name)
        return value_out

    def add_features(self, outputs: Mapping[int | str, str]) -> None:
        for number in self.spec.features:
            self.add_op(f"feature{number}", "output", (outputs[number],))

    def check_layers_are_read(
        self, name: str, wiring: ConnectivitySpec, layers: int, origin: Path
    ) -> None:
        """Note a fault where neither a later layer nor the output reads a layer."""
        read = set(sources_of_output(wiring, layers)).union(
            *(sources_of_layer(wiring, index) for index in range(1, layers + 1))
        )
        unread = [str(index) for index in range(1, layers + 1) if index not in read]
        if unread:
            paths = [("connectivity", "output"), ("connectivity", "edges"), ("connectivity",)]
            message = f"{name}: nothing reads layer {', '.join(unread[:5])}"
            hint = "let a later layer or the output read it"
            self.note_fault(message, [*((*origin, *path) for path in paths), *paths], hint)

    def split_input(self, name: str, block: Block, value: str) -> tuple[list[str], str]:
        """Return what goes round the layers of a block, if anything, and what enters them."""
        if not has_bypass(block.connectivity):
            return [], value
        channels = self.channels[value]
        border = count_bypassing(block.connectivity, channels)
        bypass = self.add_op(f"{name}.bypass", "slice", (value,), name, start=0, stop=border)
        entering = self.add_op(
            f"{name}.entering", "slice", (value,), name, start=border, stop=channels
        )
        return [bypass], entering

    def add_dense_layer(self, name: str, block: Block, index: int, value: str, parent: str) -> str:
        growth = block.widths[index - 1]
        widths = {"out": growth, "k": growth, "bottleneck": block.bottleneck * growth}
        part = self.declare_part(block.steps_of_layer(index), value, **widths)
        part = replace(part, drop_rate=block.drop_rate, drop_after=self.spec.drop_after)
        self.layers += 1
        origin = self.find_block_origin()
        own = (*origin, "layer_at", str(index)) if index in block.steps_at else ()
        self.add_region(
            name,
            "dense_layer",
            parent,
            own or origin,
            in_channels=self.channels[value],
            growth_rate=growth,
            bottleneck=block.bottleneck,
            part=part,
        )
        made = self.add_part(part, f"{name}.", value, name, *([] if own else ["layer"]))
        paths = (own, origin) if own else ((*origin, "layer"), ("layer",), origin)
        self.check_channels(made, growth, f"{name}: the layer", "growth_rate", paths)
        if made == value:
            self.note_fault(
                f"{name}: the layer has no operator",
                paths,
                "it must give its growth rate's channels",
            )
        return made

    def has_aggregation(self, block: Block, value: str) -> bool:
        """Whether operators stand behind a block's join: steps such as `none` come to nothing."""
        if block.aggregate is None:
            return False
        steps = block.aggregate.steps_resolved()
        part = replace(self.declare_part(steps, value, first=None, out=1), depth=1.0)
        return bool(expand_part(self.with_dropout(part)))

    def add_aggregation(self, name: str, block: Block, value: str, parent: str, number: int) -> str:
        if block.aggregate is None:
            return value
        out = block.aggregate.output_channels(self.channels[value])
        part = self.with_dropout(
            self.declare_part(block.aggregate.steps_resolved(), value, first=None, out=out)
        )
        origin = ("blocks", number - 1, "aggregate")
        attrs = {"in_channels": self.channels[value], "out_channels": out, "part": part}
        if expand_part(part):
            self.add_region(name, "aggregation", parent, origin, **attrs)
            value = self.add_part(part, f"{name}.", value, name, "steps")
        if block.aggregate.channels is not None:
            self.check_channels(value, out, name, "channels", ((*origin, "channels"), origin))
        return value

    def add_transition(
        self,
        name: str,
        transition: TransitionSpec,
        value: str,
        number: int,
        made: Mapping[int | str, str],
    ) -> str:
        channels, out = self.channels[value], transition.output_channels(self.channels[value])
        steps = transition.steps_resolved()
        part = self.with_dropout(self.declare_part(steps, value, first=None, out=out))
        said = (("transitions", number - 1, "channels"), ("transition", "channels"))
        if not expand_part(part) and transition.skip is None:
            self.check_channels(value, transition.channels or channels, name, "channels", said)
            return value
        skip = made[transition.skip] if transition.skip else ""
        after = self.declare_after_join(transition, part, skip)
        self.add_region(
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
            after=after,
        )
        value = self.add_part(part, f"{name}.", value, name, "steps")
        wanted = transition.channels or self.channels[value]
        self.check_channels(value, wanted, name, "channels", said)
        if not skip:
            return value
        value = self.join_skip(name, transition, value, skip)
        return self.add_part(after, f"{name}.after.", value, name, "after")

    def join_skip(self, name: str, transition: TransitionSpec, value: str, skip: str) -> str:
        if transition.crop:
            value = self.add_crop(f"{name}.crop", value, skip, name)
        joined = (skip, value) if transition.order == "skip_first" else (value, skip)
        return self.add_op(f"{name}.join", transition.join, joined, name)

    def declare_after_join(self, transition: TransitionSpec, part: Part, skip: str) -> Part:
        """Return the declaration of what stands behind a transition's join."""
        pieces = expand_part(part)
        channels = pieces[-1].channels if pieces else part.channels
        if skip and transition.join == "concat":
            channels += self.channels[skip]
        steps = resolve_steps("transitions", transition.after or "none")
        return replace(part, steps=steps, channels=channels)

    def add_crop(self, name: str, value: str, model: str, region: str) -> str:
        """Cut the centre out of a feature map, of the size of another."""
        size, there = (self.shapes.get(v, (1, 1, 1))[1:] for v in (model, value))
        corner = tuple((a - b) // 2 for a, b in zip(there, size, strict=True))
        return self.add_op(name, "crop", (value,), region, size=size, corner=corner)

    def check_last_block_is_read(self, value: str) -> None:
        """Note a fault where features leave out the last block, which nothing behind it reads."""
        features, last = self.spec.features, len(self.spec.blocks)
        is_block = any(
            region.kind == "dense_block" and value.startswith(f"{region.name}.")
            for region in self.regions
        )
        if features and last not in features and is_block:
            listed = ", ".join(map(str, features))
            message = (
                f"features (={listed}) must name block {last} too: without a head nothing else "
                "reads it"
            )
            self.note_fault(message, (("features",),), "name it, or leave the block out")

    def add_head(self, value: str) -> str:
        head = self.spec.head
        part = replace(
            self.declare_part(head.steps_resolved(), value, first=None, out=head.num_classes),
            drop_rate=head.dropout,
        )
        pieces = expand_part(part)
        if not pieces:
            self.check_last_block_is_read(value)
            return value
        # A head that only carries features, such as a pooling, has no classes: it gives channels.
        features = all(OPERATORS[piece.kind].carries for piece in pieces)
        classes = pieces[-1].channels if features else head.num_classes
        self.add_region(
            "head", "head", "", ("head",), in_channels=part.channels, num_classes=classes, part=part
        )
        made = self.add_part(part, "", value, "head", "steps")
        self.check_channels(made, classes, "the head", "head.num_classes", _HEAD)
        return made


_HEAD: Sequence[Path] = (("head", "steps"), ("head",))
