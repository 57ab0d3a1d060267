"""Does each region consist of the operators that the spec declares for it, in that order and no others?

Connections and widths alone do not tell a layer from one without its activation. Expected here: what the
region's declared template, kernel, pool, norm and rate come to, spelt out beside the builder, not by it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, pairwise
from typing import Any

from archspec.errors import Diagnostic
from archspec.graph.connections import layers_of, ports
from archspec.graph.ir import Attrs, Graph, Op, Region
from archspec.graph.shapes import running_order
from archspec.graph.templates import LAYERS

Steps = list[tuple[str, Mapping[str, Any]]]


def composed(graph: Graph) -> Iterator[Diagnostic]:
    """Stem, layers, transitions and head are the chains that their templates list; blocks only join."""
    position = {name: index for index, name in enumerate(running_order(graph))}
    for region in graph.regions.values():
        members = sorted(graph.members[region.name], key=lambda op: position[op.name])
        if region.kind == "dense_block":
            yield from _only_joins(graph, region, members)
        else:
            yield from _chain(region, members, STEPS[region.kind](region.attrs))
    for op in graph.members.get("", ()):
        if op.kind != "input" and graph.regions:
            yield Diagnostic("G010", "belongs to no region", op.name)


def _chain(region: Region, members: Sequence[Op], steps: Steps) -> Iterator[Diagnostic]:
    found, expected = [op.kind for op in members], [kind for kind, _ in steps]
    if found != expected:
        message = f"consists of {', '.join(found)}; the spec says {', '.join(expected)}"
        yield Diagnostic("G010", message, region.name)
        return
    for before, op in pairwise(members):
        if op.inputs != (before.name,):
            yield Diagnostic("G010", f"reads {', '.join(op.inputs)}, must read {before.name}", op.name)
    for op, (_, attrs) in zip(members, steps, strict=True):
        for name, value in attrs.items():
            if op.attrs.get(name, 1) != value:
                message = f"{name} (={op.attrs.get(name, 1)}) must be {value}"
                yield Diagnostic("G010", message, op.name)


def _only_joins(graph: Graph, block: Region, members: Sequence[Op]) -> Iterator[Diagnostic]:
    """A concatenation lists its sources first to last: another order is another function of the weights."""
    found = ports(graph)
    sources: dict[str, tuple[int, ...]] = dict.fromkeys(found[block.name].entering, (0,))
    for number, layer in enumerate(layers_of(graph, block), start=1):
        sources |= dict.fromkeys(found[layer.name].leaving, (number,))
    for op in members:
        if op.kind != "concat":
            yield Diagnostic("G010", f"is a {op.kind}; a dense_block itself only joins", op.name)
            continue
        joined = tuple(chain.from_iterable(sources.get(source, ()) for source in op.inputs))
        sources[op.name] = joined
        if any(later <= earlier for earlier, later in pairwise(joined)):
            message = f"joins sources in the order {_listed(joined)}, must join them first to last"
            yield Diagnostic("G010", message, op.name)


def _listed(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:20]))
    return f"{shown}, ..." if len(numbers) > 20 else shown


def _norm_act(declared: Attrs) -> Steps:
    norm = {"eps": declared["eps"], "momentum": declared["momentum"]}
    return [("batch_norm", norm), (declared["activation"], {})]


def _conv(kernel: int, stride: int = 1) -> tuple[str, Mapping[str, Any]]:
    window = {"kernel": kernel, "stride": stride, "padding": kernel // 2}
    return "conv", {**window, "groups": 1, "dilation": 1}


def _pool(kind: str, kernel: int, padding: int) -> Steps:
    attrs = {"kernel": kernel, "stride": 2, "padding": padding}
    return [] if kind == "none" else [(f"{kind}_pool", attrs)]


def _dropout(declared: Attrs) -> Steps:
    return [("dropout", {"rate": declared["rate"]})] if declared["rate"] else []


def _stem(declared: Attrs) -> Steps:
    norm_act = _norm_act(declared) if declared["norm"] else []
    return [_conv(declared["kernel"], declared["stride"]), *norm_act, *_pool(declared["pool"], 3, 1)]


def _dense_layer(declared: Attrs) -> Steps:
    (norm, activation), dropout = _norm_act(declared), _dropout(declared)
    steps = {"norm": [norm], "activation": [activation], "dropout": dropout}
    template = LAYERS[declared["template"]]
    return [part for step in template for part in steps.get(step.kind, [_conv(step.kernel)])]


def _transition(declared: Attrs) -> Steps:
    return [*_norm_act(declared), _conv(1), *_pool(declared["pool"], 2, 0)]


def _head(declared: Attrs) -> Steps:
    return [*_norm_act(declared), ("global_avg_pool", {}), *_dropout(declared), ("dense", {})]


STEPS: Mapping[str, Callable[[Attrs], Steps]] = {
    "stem": _stem,
    "dense_layer": _dense_layer,
    "transition": _transition,
    "head": _head,
}
