"""From a Spec to a Graph. Names are torchvision's places, so that weights find theirs."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from archspec.errors import GraphError
from archspec.graph.causes import causes
from archspec.graph.connectivity import RULES
from archspec.graph.ir import Graph, Op, Region
from archspec.graph.shapes import infer_shapes
from archspec.graph.templates import LAYERS
from archspec.spec.model import Layers, Spec, TransitionSpec, compressed


def build_graph(spec: Spec) -> Graph:
    """Return the graph of a spec: input, stem, dense blocks with transitions between them, head.

    Raises:
        GraphError: G006, each setting of the spec that leaves no pixel or no channel, at its place.
    """
    builder = _Builder(spec)
    value = builder.op("input", "input", (), shape=(spec.input.channels, spec.input.height, spec.input.width))
    value = builder.stem(value)
    transitions = (*spec.between_blocks(), None)
    for number, (block, transition) in enumerate(zip(spec.dense_blocks(), transitions, strict=True), start=1):
        value = builder.dense_block(f"features.denseblock{number}", block, value, number)
        if transition is not None:
            value = builder.transition(f"features.transition{number}", transition, value, number)
    builder.head(value)
    graph = Graph.of(spec.name, builder.ops, builder.regions)
    _, faults = infer_shapes(graph)
    if faults:
        raise GraphError(causes(graph, spec, faults))
    return graph


class _Builder:
    """Collects operators and regions while it walks the spec; a value is the name of the op that makes it."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.ops: list[Op] = []
        self.regions: list[Region] = []
        self.channels: dict[str, int] = {}
        self.style = {
            "activation": spec.activation,
            "eps": spec.norm.eps,
            "momentum": spec.norm.momentum,
        }

    def op(self, name: str, kind: str, inputs: tuple[str, ...], region: str = "", **attrs: Any) -> str:
        self.ops.append(Op(name, kind, inputs, MappingProxyType(attrs), region))
        self.channels[name] = self._out_channels(kind, inputs, attrs)
        return name

    def _out_channels(self, kind: str, inputs: tuple[str, ...], attrs: dict[str, Any]) -> int:
        if "out_channels" in attrs:
            return int(attrs["out_channels"])
        if kind == "concat":
            return sum(self.channels[source] for source in inputs)
        return self.channels[inputs[0]] if inputs else int(attrs["shape"][0])

    def region(self, name: str, kind: str, parent: str, origin: tuple[str | int, ...], **attrs: Any) -> None:
        self.regions.append(Region(name, kind, parent, MappingProxyType(attrs), origin))

    def conv(self, name: str, value: str, region: str, out: int, kernel: int, stride: int = 1) -> str:
        return self.op(
            name,
            "conv",
            (value,),
            region,
            in_channels=self.channels[value],
            out_channels=out,
            kernel=kernel,
            stride=stride,
            padding=kernel // 2,
            groups=1,
            dilation=1,
        )

    def norm(self, name: str, value: str, region: str) -> str:
        norm = self.spec.norm
        return self.op(
            name,
            "batch_norm",
            (value,),
            region,
            channels=self.channels[value],
            eps=norm.eps,
            momentum=norm.momentum,
        )

    def norm_act(self, norm: str, act: str, value: str, region: str) -> str:
        return self.op(act, self.spec.activation, (self.norm(norm, value, region),), region)

    def stem(self, value: str) -> str:
        stem = self.spec.stem
        self.region(
            "stem",
            "stem",
            "",
            ("stem",),
            out_channels=self.spec.stem_channels,
            kernel=stem.kernel,
            stride=stem.stride,
            norm=stem.norm,
            pool=stem.pool,
            **self.style,
        )
        value = self.conv("features.conv0", value, "stem", self.spec.stem_channels, stem.kernel, stem.stride)
        if stem.norm:
            value = self.norm_act("features.norm0", "features.relu0", value, "stem")
        if stem.pool != "none":
            value = self.op("features.pool0", f"{stem.pool}_pool", (value,), "stem", kernel=3, stride=2, padding=1)
        return value

    def dense_block(self, name: str, block: Layers, value: str, number: int) -> str:
        rule = RULES["dense"]
        origin = ("blocks", number - 1)
        self.region(
            name,
            "dense_block",
            "",
            origin,
            connectivity="dense",
            num_layers=block.layers,
            in_channels=self.channels[value],
            growth_rate=block.growth_rate,
            bottleneck=block.bottleneck,
        )
        sources = [value]
        for index in range(1, block.layers + 1):
            joined = self.join(f"{name}.concat{index}", sources, rule.sources(index), name)
            sources.append(self.dense_layer(f"{name}.denselayer{index}", block, joined, name, origin))
        return self.join(f"{name}.concat", sources, rule.gathers(block.layers), name)

    def join(self, name: str, sources: list[str], chosen: tuple[int, ...], region: str) -> str:
        """One source is read as it is, several are concatenated."""
        if len(chosen) == 1:
            return sources[chosen[0]]
        return self.op(name, "concat", tuple(sources[index] for index in chosen), region)

    def dense_layer(self, name: str, block: Layers, value: str, parent: str, origin: tuple[str | int, ...]) -> str:
        self.region(
            name,
            "dense_layer",
            parent,
            origin,
            in_channels=self.channels[value],
            growth_rate=block.growth_rate,
            bottleneck=block.bottleneck,
            template=block.template,
            rate=block.drop_rate,
            **self.style,
        )
        widths = {"growth": block.growth_rate, "bottleneck": block.bottleneck * block.growth_rate}
        for step in LAYERS[block.template]:
            place = f"{name}.{step.name}"
            if step.kind == "conv":
                value = self.conv(place, value, name, widths[step.width], step.kernel)
            elif step.kind == "norm":
                value = self.norm(place, value, name)
            elif step.kind == "activation":
                value = self.op(place, self.spec.activation, (value,), name)
            else:
                value = self.dropout(place, value, name, block.drop_rate)
        return value

    def dropout(self, name: str, value: str, region: str, rate: float) -> str:
        return self.op(name, "dropout", (value,), region, rate=rate) if rate else value

    def transition(self, name: str, transition: TransitionSpec, value: str, number: int) -> str:
        assert transition.compression is not None
        channels = self.channels[value]
        out = compressed(channels, transition.compression)
        self.region(
            name,
            "transition",
            "",
            ("transitions", number - 1),
            in_channels=channels,
            out_channels=out,
            compression=transition.compression,
            pool=transition.pool,
            **self.style,
        )
        value = self.norm_act(f"{name}.norm", f"{name}.relu", value, name)
        value = self.conv(f"{name}.conv", value, name, out, 1)
        if transition.pool != "none":
            value = self.op(f"{name}.pool", f"{transition.pool}_pool", (value,), name, kernel=2, stride=2, padding=0)
        return value

    def head(self, value: str) -> str:
        head = self.spec.head
        self.region(
            "head",
            "head",
            "",
            ("head",),
            num_classes=head.num_classes,
            rate=head.dropout,
            **self.style,
        )
        value = self.norm_act("features.norm5", "relu5", value, "head")
        value = self.op("pool", "global_avg_pool", (value,), "head")
        value = self.dropout("dropout", value, "head", head.dropout)
        return self.op(
            "classifier",
            "dense",
            (value,),
            "head",
            in_channels=self.channels[value],
            out_channels=head.num_classes,
        )
