"""Compiled networks that are kept, so that a second start of the same does not compile again.

A graph is kept by the digest of all that it follows from; see `compiled_graphs` for why.

Imports mindspore where something is compiled; call `archspec.runtime.prepare` before.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from archspec.errors import EnvironmentFault, format_count
from archspec.graph.build import build_graph
from archspec.mindspore_versions import list_versions
from archspec.runtime import cache_folder
from archspec.spec.spec import Spec
from archspec.train.engine.compiled_graphs import (
    drop_oldest,
    open_desk,
    read_graph,
    write_graph,
)
from archspec.train.recipe.recipe import Recipe
from archspec.writers.mindspore.module import write_module

FOLDER, SWITCH = "compiled", "DENSENET_COMPILE_CACHE"
CONTEXT = ("mode", "jit_level", "deterministic", "memory_optimize_level")
"""MindSpore's own settings that a compiled network follows from."""
# What msrun tells each process; a port is another each time, and rank and world are facts anyway.
_OF_THE_JOB = ("MS_SCHED_", "MS_NODE_", "MS_ROLE", "MS_WORKER_", "MS_TOPO_", "MS_SERVER_")
# What MindSpore notes in a cell when it is called.
_OF_A_CALL = {
    "__compile_cell_hook__",
    "__parse_method__",
    "_func_graph_flags",
    "current_phase",
    "sequence_modified",
}
_TELLING = ("MS_", "ONEDNN_", "DNNL_", "ASCEND_")


def is_switched_on() -> bool:
    """Return whether the environment leaves compiled networks to be kept, and to us."""
    own = os.environ.get(SWITCH, "1").strip().lower() not in ("0", "off", "false", "no")
    return own and "MS_COMPILER_CACHE_ENABLE" not in os.environ


def describe_surroundings() -> dict[str, Any]:
    """Return what a compiled graph follows from beside its network: versions, environment."""
    shown = {}
    for name, value in os.environ.items():
        if name.startswith(_TELLING) and not name.startswith(_OF_THE_JOB):
            shown[name] = value
    return {
        "versions": list_versions(),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "sources": _digest_sources(),
        "environment": shown,
    }


@cache
def _digest_sources() -> str:
    """Of this folder: a step that was edited is another one, whatever the version says."""
    found = sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        found.update(file.read_bytes())
    return found.hexdigest()


def describe_cell(cell: Any) -> list[Any]:
    """Return classes, values and parameters' shapes of a cell and all in it."""
    told = describe_parts(cell)
    for parameter in cell.get_parameters():
        shape, kind = list(parameter.shape), str(parameter.dtype)
        told.append([parameter.name, shape, kind, parameter.requires_grad])
    return told


def describe_parts(cell: Any) -> list[Any]:
    """Return classes and values of a cell and all in it."""
    from mindspore import nn

    usual = vars(nn.Cell()).keys() | _OF_A_CALL
    told: list[Any] = []
    for name, part in cell.cells_and_names():
        values = {}
        for key in sorted(vars(part).keys() - usual):
            values[key] = _describe_value(vars(part)[key])
        is_recomputed = str(part._scope).startswith("recompute_")
        class_name = [type(part).__module__, type(part).__qualname__]
        told.append([name, *class_name, values, is_recomputed])
    return told


def _describe_value(value: Any) -> Any:
    from mindspore import Parameter, Tensor, ops

    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [_describe_value(part) for part in value]
    if isinstance(value, Parameter):
        return value.name
    if isinstance(value, Tensor):
        return [str(value.dtype), list(value.shape), sha256(value.asnumpy().tobytes()).hexdigest()]
    if isinstance(value, ops.Primitive):
        return [value.name, {key: str(part) for key, part in sorted(value.attrs.items())}]
    return type(value).__qualname__


@dataclass
class CompileCache:
    """Calls cells so that what is compiled by it is kept, or was."""

    facts: Mapping[str, Any] | None = None
    """All that is known of the network beside `describe_surroundings`; None keeps nothing."""
    notes: list[str] = field(default_factory=list)
    """What there is to say; whoever says it clears the list."""
    _called: set[str] = field(default_factory=set)

    def is_known(self, what: str, cell: Any, *inputs: Any) -> bool:
        """Return whether a call would find its graph compiled."""
        path = self._find_path(what, cell, inputs)
        desk = open_desk() if path is not None else None
        if path is None or desk is None or desk.is_blind:
            return False
        return read_graph(path) is not None

    def call(self, what: str, cell: Any, *inputs: Any) -> Any:
        """Return `cell(*inputs)`; `what` tells cells of one network apart."""
        signature = f"{what} {_describe_inputs(inputs)}"
        path = None
        if signature not in self._called:
            self._called.add(signature)
            path = self._find_path(what, cell, inputs)
        desk = open_desk() if path is not None else None
        if path is None or desk is None:
            return cell(*inputs)
        held = read_graph(path)
        try:
            result, made = desk.run(cell, inputs, held)
        except Exception:
            if held is not None:  # it may be to blame, and would be the next time
                _drop(path)
            raise
        if made is not None:
            self._keep(path, made)
        return result

    def _find_path(self, what: str, cell: Any, inputs: tuple[Any, ...]) -> Path | None:
        if self.facts is None:
            return None
        facts = [what, _describe_inputs(inputs), self.facts, describe_surroundings()]
        text = json.dumps([*facts, describe_cell(cell)], sort_keys=True, default=str)
        try:
            return cache_folder() / FOLDER / sha256(text.encode()).hexdigest()
        except EnvironmentFault:
            return None

    def _keep(self, path: Path, graph: bytes) -> None:
        with suppress(OSError):  # a folder that takes nothing costs time, no more
            path.parent.mkdir(parents=True, exist_ok=True)
            write_graph(path, graph)
            dropped = drop_oldest(path)
            if dropped:
                files = format_count(dropped, "compiled network")
                self.notes.append(f"{path.parent} was full: {files} not used for longest dropped")


def make_cache(
    spec: Spec, recipe: Recipe, *, device_target: str, rank: int, world: int
) -> CompileCache:
    """Return what keeps the compiled networks of a run, where recipe and environment leave it."""
    if not recipe.compile_cache or not is_switched_on():
        return CompileCache()
    import mindspore as ms

    facts = {
        "module": write_module(build_graph(spec)),
        "spec": spec.resolved(),
        "recipe": recipe.resolved(),
        "devices": [device_target, rank, world],
        "context": {name: ms.get_context(name) for name in CONTEXT},
    }
    return CompileCache(facts)


def _drop(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


class CachedNetwork:
    """A network whose compiled graphs are kept: for who calls it, and sets its mode."""

    def __init__(self, network: Any, compiled: CompileCache, name: str) -> None:
        self.network, self.compiled, self.name = network, compiled, name

    def __call__(self, images: Any) -> Any:
        """Return what the network does."""
        return self.compiled.call(self.name, self.network, images)

    def set_train(self, mode: bool) -> CachedNetwork:
        """Set the network's mode."""
        self.network.set_train(mode)
        return self


def _describe_inputs(inputs: tuple[Any, ...]) -> str:
    return str([(list(tensor.shape), str(tensor.dtype)) for tensor in inputs])
