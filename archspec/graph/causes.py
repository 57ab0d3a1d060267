"""Faults of shape led back to the keys of the spec that cause them: one for each cause, however far it reaches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import ceil

from archspec.errors import Diagnostic
from archspec.graph.ir import Graph, Op, Region
from archspec.spec.document import Path, dotted, short
from archspec.spec.model import Spec


def causes(graph: Graph, spec: Spec, faults: Sequence[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return a G006 for each setting that leaves a feature map without channels or without pixels.

    A fault of another kind stays what it is, at the place in the spec that its region comes from.
    """
    empty = [r for r in graph.regions.values() if r.kind == "transition" and r.attrs["out_channels"] < 1]
    windows = [op for op in graph.ops.values() if "stride" in op.attrs]
    sizes = {"height": spec.input.height, "width": spec.input.width}
    failing = {field: op for field, size in sizes.items() if (op := _first_without_pixels(windows, size))}
    explained = {region.name for region in empty} | {op.name for op in failing.values()}
    others = [fault for fault in faults if not explained & {fault.where, graph.ops[fault.where].region}]
    return (
        *_compressions(empty, spec),
        *_sizes(failing, _least_size(windows), spec),
        *(_placed(fault, graph, spec) for fault in others),
    )


def _compressions(empty: Sequence[Region], spec: Spec) -> Iterator[Diagnostic]:
    """Transitions that share one compression have one fault, told of the first."""
    told: set[Path] = set()
    for region in empty:
        listed = spec.transitions and spec.transitions[int(region.origin[-1])].compression
        path: Path = (*region.origin, "compression") if listed else ("compression",)
        if path in told:
            continue
        told.add(path)
        channels, compression = region.attrs["in_channels"], region.attrs["compression"]
        message = f"{dotted(path)} (={short(compression)}) leaves {region.name} no channel of its {channels}"
        yield _fault(spec, message, f"{_least_share(channels)} or more", path)


def _sizes(failing: dict[str, Op], least: int, spec: Spec) -> Iterator[Diagnostic]:
    """Height and width that were written in one place, as by one flag, have one fault."""
    sizes = {"height": spec.input.height, "width": spec.input.width}
    places = {_place(spec, ("input", field)) for field in failing}
    together = len(failing) == 2 and len(places) == 1 and spec.input.height == spec.input.width
    for field in [*failing][: 1 if together else 2]:
        named = "input.height and input.width" if together else f"input.{field}"
        why = f"{failing[field].name} has no pixel left for its {failing[field].attrs['kernel']}-pixel window"
        message = f"{named} (={sizes[field]}) must be at least {least}: {why}"
        yield _fault(spec, message, "or less stride and pooling in stem and transitions", ("input", field))


def _first_without_pixels(windows: Sequence[Op], size: int) -> Op | None:
    for op in windows:
        size = (size + 2 * op.attrs["padding"] - op.attrs["kernel"]) // op.attrs["stride"] + 1
        if size < 1:
            return op
    return None


def _least_size(windows: Sequence[Op]) -> int:
    """Pixels of the image that leave each window one: the windows' arithmetic backwards."""
    least = 1
    for op in reversed(windows):
        least = max(1, (least - 1) * op.attrs["stride"] + op.attrs["kernel"] - 2 * op.attrs["padding"])
    return least


def _least_share(channels: int) -> float:
    """1 / channels, rounded up to a decimal that a person would write."""
    scale: int = 10 ** (len(str(channels)) + 1)
    return ceil(scale / channels) / scale


def _fault(spec: Spec, message: str, hint: str, path: Path) -> Diagnostic:
    return Diagnostic("G006", message, _place(spec, path) or spec.name, hint)


def _place(spec: Spec, path: Path) -> str:
    """What nobody wrote is a default, and then it is the number of blocks that is too much for it."""
    return spec.place(path, path[:1], ("blocks",))


def _placed(fault: Diagnostic, graph: Graph, spec: Spec) -> Diagnostic:
    region = graph.regions.get(graph.ops[fault.where].region)
    place = spec.place(region.origin) if region else ""
    return replace(fault, message=f"{fault.where}: {fault.message}", where=place or spec.name)
