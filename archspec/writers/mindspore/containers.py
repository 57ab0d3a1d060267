"""A graph as nested containers, one for each level of its operators' names,
ready to be written as classes.

`features.denseblock1.denselayer1.conv1` lies in container `features.denseblock1.denselayer1`, which
lies in `features.denseblock1`, and so on up to the network itself, `""`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archspec.graph.ir import Graph, Op
from archspec.graph.shapes import running_order


@dataclass(frozen=True)
class Container:
    """A level of names: its operators and nested containers in running order."""

    path: str
    kind: str
    """The region's kind, else the last part of the path; `network` at the top."""
    items: tuple[Op | Container, ...]
    entering: tuple[str, ...]
    """Values made outside that something inside reads, in order of first use."""
    leaving: tuple[str, ...]
    """Values made inside that something outside reads, or that are the network's outputs."""
    attrs: Mapping[str, Any]
    """What the spec declares of the region."""

    def local(self, item: Op | Container) -> str:
        """Return an item's name inside this container."""
        return path_of(item)[len(self.path) + 1 if self.path else 0 :]

    @property
    def containers(self) -> tuple[Container, ...]:
        """The nested containers alone."""
        return tuple(item for item in self.items if isinstance(item, Container))


def path_of(item: Op | Container) -> str:
    """Return an item's full name."""
    return item.name if isinstance(item, Op) else item.path


def values_made(item: Op | Container) -> tuple[str, ...]:
    """Return the values that an item gives."""
    return (item.name,) if isinstance(item, Op) else item.leaving


def values_read(item: Op | Container) -> tuple[str, ...]:
    """Return the values that an item takes."""
    return item.inputs if isinstance(item, Op) else item.entering


def nest_containers(graph: Graph) -> Container:
    """Return the network's container, all others nested in it."""
    ops = [graph.ops[name] for name in running_order(graph) if graph.ops[name].kind != "input"]
    readers: dict[str, list[str]] = {}
    for op in ops:
        for source in op.inputs:
            readers.setdefault(source, []).append(op.name)
    return _make_container(graph, "", ops, readers)


def _make_container(
    graph: Graph, path: str, ops: list[Op], readers: Mapping[str, list[str]]
) -> Container:
    prefix = f"{path}." if path else ""
    groups: dict[str, list[Op]] = {}
    for op in ops:
        groups.setdefault(prefix + op.name[len(prefix) :].partition(".")[0], []).append(op)
    items: list[Op | Container] = []
    for name, group in groups.items():
        is_operator = group[0].name == name
        items.append(group[0] if is_operator else _make_container(graph, name, group, readers))
    inside = {op.name for op in ops}
    read = [source for op in ops for source in op.inputs]
    # What nobody reads is an output of the network: it leaves every container that it lies in.
    outside = ("",)
    entering = dict.fromkeys(source for source in read if source not in inside)
    leaving = [op.name for op in ops if not inside.issuperset(readers.get(op.name, outside))]
    region = graph.regions.get(path)
    return Container(
        path=path,
        kind=region.kind if region else path.rpartition(".")[2] or "network",
        items=tuple(items),
        entering=tuple(entering),
        leaving=tuple(leaving),
        attrs=region.attrs if region else {},
    )


def layers_of(block: Container) -> tuple[Container, ...]:
    """Return the dense layers of a block."""
    return tuple(child for child in block.containers if child.kind == "dense_layer")


def rates_of(block: Container) -> tuple[Any, ...]:
    """Return what each layer of a block adds."""
    return tuple(layer.attrs.get("growth_rate") for layer in layers_of(block))


def grows_evenly(block: Container) -> bool:
    """Return whether each of a block's layers adds what the block says."""
    return {*rates_of(block)} <= {block.attrs.get("growth_rate")}
