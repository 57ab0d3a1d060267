"""What a training step holds at its peak, estimated from the graph, and which values a recipe has
computed again so that it holds less.

Measured of densenet121 at 224 px on a CPU, batch 8 to 32: an image adds 133 MB, and is estimated
to; with parts computed again the estimate of all that is held was within 7 %.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from math import prod
from pathlib import Path

from archspec.errors import SpecError
from archspec.graph.connections import derive_ports
from archspec.graph.ir import Graph
from archspec.graph.parameters import list_parameters
from archspec.graph.shapes import infer_shapes
from archspec.operators.table import OPERATORS
from archspec.train.recipe.recipe import Recipe
from archspec.train.recipe.recompute import KINDS, RecomputeKind, RecomputeRecipe, bytes_of

REGIONS: Mapping[RecomputeKind, tuple[str, ...]] = {
    "none": (),
    "concat": ("dense_block",),
    "layer": ("dense_layer", "transition"),
    "block": ("dense_block",),
}
"""The kinds of regions that are computed again, each by itself. Transitions beside whole blocks
were measured to take more memory, not less: MindSpore begins with a block before its turn."""
OF_MINDSPORE, OF_AN_OPERATOR = 450_000_000, 2_600_000
"""Bytes that MindSpore takes by itself on a CPU, and what it compiles of each operator."""
COPIES = 4
"""Of parameters: weights, gradients, and what an optimizer remembers."""


def list_regions(graph: Graph, kind: RecomputeKind) -> tuple[str, ...]:
    """Return the names of the regions that are computed again, each by itself."""
    kinds = REGIONS[kind]
    return tuple(region.name for region in graph.regions.values() if region.kind in kinds)


def find_recomputed(graph: Graph, kind: RecomputeKind) -> Mapping[str, str]:
    """Return the operators whose outputs are computed again, each with the region that is.

    What a region gives is kept, and so is what draws at random: it would draw something else.
    """
    regions, ports = set(list_regions(graph, kind)), derive_ports(graph)
    found = {}
    for op in graph.ops.values():
        row, region = OPERATORS[op.kind], op.region
        while region and region not in regions:
            region = graph.regions[region].parent
        is_kept = row.is_of_training or (kind == "concat" and row.has_filters)
        if region and not is_kept and op.name not in ports[region].leaving:
            found[op.name] = region
    return found


def estimate_memory(graph: Graph, recipe: Recipe, kind: RecomputeKind, device_target: str) -> int:
    """Return about how many bytes a device, or the process on a CPU, holds at most."""
    values = sum(prod(parameter.shape) for parameter in list_parameters(graph).values())
    copies = COPIES + (recipe.ema is not None) + (recipe.accumulate > 1)
    # With O2 a norm keeps its input in full precision beside the half one: as much as with O0.
    width = 2 if recipe.amp == "O3" and not recipe.amp_keep_float32 else 4
    held = 4 * values * copies + width * recipe.batch_size * _count_values(graph, kind)
    if device_target == "CPU":
        held += OF_MINDSPORE + OF_AN_OPERATOR * len(graph.ops)
    return held


def _count_values(graph: Graph, kind: RecomputeKind) -> int:
    """Those of an image that are held at once: what is kept, and the largest region anew; of whole
    blocks the two largest, since MindSpore was measured to begin with one before its turn.
    """
    recomputed, kept, anew = find_recomputed(graph, kind), 0, Counter[str]()
    for name, size in _list_kept(graph):
        if name in recomputed:
            anew[recomputed[name]] += size
        else:
            kept += size
    at_once = 2 if kind == "block" else 1
    return kept + sum(sorted(anew.values())[-at_once:])


def _list_kept(graph: Graph) -> Iterator[tuple[str, int]]:
    """Yield what the backward pass reads, and its size: all but norms that activations read alone,
    whose gradients are told by what these give.
    """
    shapes, _ = infer_shapes(graph)
    for name, op in graph.ops.items():
        families = {OPERATORS[graph.ops[reader].kind].family for reader in graph.digraph[name]}
        if OPERATORS[op.kind].family != "norm" or families != {"activation"}:
            yield name, prod(shapes[name])


def plan_recompute(
    recipe: Recipe, graph: Graph, *, device_target: str, devices: int
) -> tuple[Recipe, str]:
    """Return the recipe with the kind that `auto` comes to, and a line that says what is computed
    again and what that saves; '' where nothing is.

    Raises:
        SpecError: S006, `auto` without a `memory` on devices whose own is not known here.
    """
    if recipe.recompute.kind == "none":
        return recipe, ""
    needs = {kind: estimate_memory(graph, recipe, kind, device_target) for kind in KINDS}
    on = "a device" if device_target != "CPU" or devices > 1 else "the process"
    if recipe.recompute.kind != "auto":
        return recipe, f"recompute {_describe(recipe.recompute.kind, needs, on)}"
    memory = _find_memory(recipe, device_target, devices)
    fitting = [kind for kind in KINDS if needs[kind] <= memory]
    chosen = fitting[0] if fitting else min(needs, key=lambda kind: needs[kind])
    is_free = " that are free" * (recipe.recompute.memory is None)
    line = f"recompute auto, for {_format(memory)}{is_free}: {_describe(chosen, needs, on)}"
    if not fitting:
        line += ", which is too much: a smaller --batch-size, with --set recipe.accumulate=2"
    return recipe.model_copy(update={"recompute": RecomputeRecipe(kind=chosen)}), line


def _find_memory(recipe: Recipe, device_target: str, devices: int) -> int:
    said = recipe.recompute.memory
    if said is not None:
        return bytes_of(said)
    if device_target == "CPU":
        return read_free_memory() // devices
    place = recipe.place(("recompute", "memory"), ("recompute", "kind"))
    rule = f"recompute auto needs the memory of a device of {device_target}"
    raise SpecError.one("S006", rule, place, "--set recipe.recompute.memory=32GB")


def read_free_memory() -> int:
    """Return the bytes that this machine, or the container that this is, can still give."""
    free = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError, KeyError):
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        told = dict(line.split(":", 1) for line in lines)
        free = 1024 * int(told["MemAvailable"].split()[0])
    groups = Path("/sys/fs/cgroup")
    with suppress(OSError, ValueError):  # without a limit it says max
        limit = int((groups / "memory.max").read_text("ascii"))
        free = min(free, limit - int((groups / "memory.current").read_text("ascii")))
    return free


def _describe(kind: RecomputeKind, needs: Mapping[RecomputeKind, int], on: str) -> str:
    held = f"{kind}: {on} holds about {_format(needs[kind])} in training"
    return held if kind == "none" else f"{held}, instead of {_format(needs['none'])}"


def _format(number: int) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e8 else f"{number / 1e6:.0f} MB"
