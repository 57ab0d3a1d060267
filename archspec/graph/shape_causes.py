"""Faults of shape led back to the keys of the spec that cause them:
one for each cause, however far it reaches.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import ceil

from archspec.errors import Diagnostic
from archspec.graph.connections import layers_of
from archspec.graph.ir import Graph, Region
from archspec.graph.shapes import infer_shapes, running_order
from archspec.operators.attributes import CHANNEL_COUNTS
from archspec.operators.shape_rules import NoPixelLeft, Shape, ShapeFault
from archspec.operators.table import OPERATORS
from archspec.settings import Path
from archspec.spec.reading.document import format_path, shorten_value
from archspec.spec.spec import Spec

MAX_PIXELS = 8_192
"""The largest image that a spec may have."""


def find_causes(
    graph: Graph, spec: Spec, faults: Sequence[Diagnostic], origins: Mapping[str, Path]
) -> tuple[Diagnostic, ...]:
    """Return a G006 for each setting that leaves a feature map without channels or without pixels.

    A fault of another kind stays what it is, at the place of the step (`origins`) or of the part
    that it comes from.
    """
    parts = [*graph.regions_of("transition"), *graph.regions_of("aggregation")]
    empty = []
    for region in parts:
        # Of parts that follow one another without channels, the first is the cause.
        if region.attrs["out_channels"] < 1 <= region.attrs["in_channels"]:
            empty.append(region)
    explained, failing = {region.name for region in empty}, dict[str, tuple[str, int]]()
    for field in _SIDES:
        found = _find_least_side(graph, field)
        if found is not None:
            failing[field] = found
            explained.add(found[0])
    causes = [*_explain_compressions(empty, spec), *_explain_sizes(graph, failing, spec)]
    for fault in faults:
        if explained.isdisjoint({fault.where, graph.ops[fault.where].region}):
            causes.append(_place_fault(fault, graph, spec, origins))
    return tuple(causes)


def _explain_compressions(empty: Sequence[Region], spec: Spec) -> Iterator[Diagnostic]:
    """Transitions that share one compression have one fault, told of the first."""
    told: set[Path] = set()
    for region in empty:
        compression, path = _find_compression(spec, region)
        if path in told:
            continue
        told.add(path)
        channels = region.attrs["in_channels"]
        given = f"{format_path(path)} (={shorten_value(compression)})"
        message = f"{given} leaves {region.name} no channel of its {channels}"
        yield _make_fault(spec, message, f"{_round_share_up(channels)} or more", path)


def _find_compression(spec: Spec, region: Region) -> tuple[float | None, Path]:
    """Return the compression of a transition or an aggregation, and where it is said."""
    own, number = (*region.origin, "compression"), int(region.origin[1])
    if region.kind == "aggregation":
        aggregate = spec.blocks[number].aggregate
        return aggregate.compression if aggregate else None, own
    compression = spec.transitions_in_order()[number].compression
    # What a transition says itself comes before what is said of all, and that before the spec's.
    if spec.transitions and spec.transitions[number].compression:
        return compression, own
    if spec.transition.compression:
        return compression, ("transition", "compression")
    return compression, ("compression",)


def _explain_sizes(
    graph: Graph, failing: Mapping[str, tuple[str, int]], spec: Spec
) -> Iterator[Diagnostic]:
    """Height and width that were written in one place, as by one flag, have one fault."""
    places = {_find_place(spec, ("input", field)) for field in failing}
    is_square = len(failing) == 2 and spec.input.height == spec.input.width
    together = is_square and len(places) == 1
    for field in [*failing][: 1 if together else 2]:
        named = "input.height and input.width" if together else f"input.{field}"
        op, least = failing[field]
        why = f"{op} has no pixel left for its {graph.ops[op].attrs['kernel']}-pixel window"
        message = f"{named} (={getattr(spec.input, field)}) must be at least {least}: {why}"
        hint = "or less stride and pooling in stem and transitions"
        yield _make_fault(spec, message, hint, ("input", field))


_SIDES = {"height": 1, "width": 2}


def _find_least_side(graph: Graph, field: str) -> tuple[str, int] | None:
    """Return the first window that one side of the image leaves no pixel,
    and the least side that does not.
    """
    side = _SIDES[field]
    size = graph.ops[graph.inputs[0]].attrs["shape"][side]
    starved = _find_starved_window(graph, side, size)
    # A window that no image feeds has another cause than the image.
    if not starved or _find_starved_window(graph, side, MAX_PIXELS):
        return None
    # Halving is right here: a larger image leaves a window no fewer pixels.
    sizes = range(size, MAX_PIXELS)
    more = bisect_left(sizes, True, key=lambda each: not _find_starved_window(graph, side, each))
    return starved, size + more


def _find_starved_window(graph: Graph, side: int, size: int) -> str:
    """Return the first window without a pixel in an image with this side,
    the other side being large, or ''.
    """
    sizes: dict[str, Shape] = {}
    for name in running_order(graph):
        op = graph.ops[name]
        row, image = OPERATORS[op.kind], [1, MAX_PIXELS, MAX_PIXELS]
        image[side] = size
        # Pixels alone are followed: whatever is wrong with channels is another fault.
        one_channel = {**dict.fromkeys(CHANNEL_COUNTS, 1), **row.of_one_channel}
        attrs = {**op.attrs, **one_channel, "shape": tuple(image)}
        try:
            shape = row.shape(attrs, [sizes[source] for source in op.inputs])
        except NoPixelLeft:
            return name
        except ShapeFault:
            return ""
        sizes[name] = (1, *shape[1:])
    return ""


def _round_share_up(channels: int) -> float:
    """1 / channels, rounded up to a decimal that a person would write."""
    scale: int = 10 ** (len(str(channels)) + 1)
    return ceil(scale / channels) / scale


def _make_fault(spec: Spec, message: str, hint: str, path: Path) -> Diagnostic:
    return Diagnostic("G006", message, _find_place(spec, path) or spec.name, hint)


def _find_place(spec: Spec, path: Path) -> str:
    """What nobody wrote is a default, and then it is the number of blocks
    that is too much for it.
    """
    return spec.place(path, path[:1], ("blocks",))


def _path_for_all(path: Path) -> Path:
    """Where the spec says for all blocks, or transitions, what one of them does not say itself."""
    if path[:1] == ("blocks",):
        return path[2:]
    return ("transition", *path[2:]) if path[:1] == ("transitions",) else path


def _place_fault(
    fault: Diagnostic, graph: Graph, spec: Spec, origins: Mapping[str, Path]
) -> Diagnostic:
    paths = [*_list_suspects(fault, graph, spec, origins), ("blocks",)]
    place = spec.place(*(path for path in paths if path)) or spec.name
    is_empty = "at least 1 is needed" in fault.message
    usual = "" if is_empty else OPERATORS[graph.ops[fault.where].kind].hint
    hint = fault.hint or usual
    return replace(fault, message=f"{fault.where}: {fault.message}", where=place, hint=hint)


_BLAMED = {"add": ("residual",), "slice": ("connectivity", "share")}


def _list_suspects(
    fault: Diagnostic, graph: Graph, spec: Spec, origins: Mapping[str, Path]
) -> Iterator[Path]:
    """Where the cause of a fault may be written, the likeliest first."""
    op = graph.ops[fault.where]
    region = graph.regions.get(op.region)
    path, origin = origins.get(op.name, ()), region.origin if region else ()
    setting = _SETTING.match(fault.message)
    named, family = setting[1] if setting else "", OPERATORS[op.kind].family
    yield from _find_named_setting(named, path, spec)
    if family in ("norm", "activation") and named:
        yield from ((family, named), (family,))
    if region and region.kind == "dense_block":
        # What joins a block's values has no step of its own: a setting of the block, or else the
        # step by which a layer changes its pixels.
        blamed = _BLAMED.get(op.kind, ())
        ends = range(len(blamed), 0, -1)
        resizing = origins.get(_find_resizing_op(graph, region), ())
        yield from ((*origin, *blamed[:end]) for end in ends)
        yield from (blamed[:end] for end in ends)
        yield from (resizing, _path_for_all(resizing))
    if region and region.kind == "transition" and not path:
        yield (*origin, "skip")
    yield from (path, _path_for_all(path), origin)


def _find_named_setting(setting: str, path: Path, spec: Spec) -> Iterator[Path]:
    """Where a step's setting is written that the fault's message names first, `groups (=5)`."""
    if not path:
        return
    for step in (path, _path_for_all(path)):
        yield from (
            written for written in spec.written() if written[:-2] == step and written[-1] == setting
        )


_SETTING = re.compile(r"(\w+) \(=")


def _find_resizing_op(graph: Graph, block: Region) -> str:
    """Return the operator by which a layer of a block comes to give another height
    or width than it reads, or ''.
    """
    shapes, _ = infer_shapes(graph)
    for layer in layers_of(graph, block):
        sizes = list(_list_sizes(graph, layer, shapes))
        if sizes and sizes[0][0] != sizes[-1][1]:
            return [name for before, after, name in sizes if before == sizes[0][0] != after][-1]
    return ""


def _list_sizes(
    graph: Graph, layer: Region, shapes: Mapping[str, Shape]
) -> Iterator[tuple[Shape, Shape, str]]:
    """Height and width before and behind each operator of a layer, and what it is called."""
    for op in graph.members[layer.name]:
        # Behind a fault of shape there are no shapes.
        if op.inputs and {op.name, op.inputs[0]} <= shapes.keys():
            yield shapes[op.inputs[0]][1:], shapes[op.name][1:], op.name
