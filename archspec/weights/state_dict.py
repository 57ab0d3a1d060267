"""Where in a description of a pickle the weights are: a dict of tensors by name, or a pickled module.

A training checkpoint keeps the dict beside the epoch, the optimizer and whatever else its author saved; how deep and
under which key, nobody agrees. A module, `torch.save(model)`, is an object whose class is not known here, but torch
keeps its tensors in plain dicts: `_parameters`, `_buffers`, and its children in `_modules`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archspec.weights.described import Foreign, Refused, TensorView

NESTED = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "network",
    "net",
    "weights",
    "params",
)
"""Where training checkpoints keep the state dict, most telling first."""
MAX_NESTING = 4
MAX_ENTRIES = 200_000
"""Modules and tensors that are looked at: modules may stand in several places, and in themselves."""
MAX_PREFIX = 200
MAX_UNSAVED = 100
"""Buffers of a module that its state dict leaves out."""
_OF_MODULE = ("_parameters", "_buffers", "_modules")
_NOT_PLAIN = ("torch._utils.", "torch._tensor.")

Path = tuple[str, ...]


@dataclass(frozen=True)
class Held:
    """A state dict, and the names of what lay beside it."""

    state: Mapping[str, Any]
    beside: tuple[str, ...]


def state_dict_in(value: Any) -> Held | None:
    """Return the tensors by name, wherever a training checkpoint keeps them; None: nowhere.

    Raises:
        Refused: several dicts could be meant, they are nested too deep, or a tensor is not plain.
    """
    search = _Search()
    path = search.path(value, MAX_NESTING)
    if path is None:
        return None
    beside: list[str] = []
    for key in path:
        beside += [name for name in value if name != key]
        value = value[key]
    state = search.tensors_of(value) if search.is_module(value) else value
    for name, entry in state.items():
        if type(entry) is Foreign and _would_be_tensor(entry):
            made = f"it is made by {entry.name[:100]!r}"
            raise Refused(f"its tensor {name[:100]!r} is not plain: {made}")
    return Held(state, tuple(beside))


def _would_be_tensor(entry: Foreign) -> bool:
    """A quantised, sparse or otherwise special one, or one of numbers that are not known here."""
    return entry.name.startswith(_NOT_PLAIN) or (
        entry.name.startswith("torch.") and entry.name.endswith("Storage")
    )


class _Search:
    """Looks once at each dict and module, however often they are used."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, int], Path | None] = {}
        self.named: dict[int, bool] = {}
        self.entries = 0

    def is_named(self, value: Any) -> bool:
        """Is it a dict whose keys are words?"""
        if type(value) is not dict:
            return False
        if id(value) not in self.named:
            self.named[id(value)] = all(type(key) is str for key in value)
        return self.named[id(value)]

    def is_module(self, value: Any) -> bool:
        """Is it an object with the dicts in which torch keeps the tensors of a module?"""
        state = value.state if type(value) is Foreign else None
        return type(state) is dict and all(self.is_named(state.get(part)) for part in _OF_MODULE)

    def path(self, value: Any, depth: int) -> Path | None:
        """Return the keys that lead to the dict or the module that holds the tensors."""
        place = id(value), depth
        if place not in self.known:
            self.known[place] = None  # where it holds itself
            self.known[place] = self._path(value, depth)
        return self.known[place]

    def _path(self, value: Any, depth: int) -> Path | None:
        if self.is_module(value):
            return () if _has_tensor(self.tensors_of(value)) else None
        if not self.is_named(value):
            return None
        for name in NESTED:
            found = self._below(name, value, depth)
            if found is not None:
                return found
        return () if _has_tensor(value) else self._only_one(value, depth)

    def _below(self, name: str, value: Mapping[str, Any], depth: int) -> Path | None:
        inner = value.get(name)
        if type(inner) is dict and not depth and name in NESTED:
            raise Refused("its state dict is nested too deep")
        if type(inner) not in (dict, Foreign) or not depth:
            return None
        rest = self.path(inner, depth - 1)
        return None if rest is None else (name, *rest)

    def _only_one(self, value: Mapping[str, Any], depth: int) -> Path | None:
        """A dict goes before a module, which may be a loss with weights of its own."""
        for kind in (dict, Foreign):
            paths = [
                found
                for name, inner in value.items()
                if type(inner) is kind and (found := self._below(name, value, depth)) is not None
            ]
            if paths[1:]:
                several = " and ".join(repr(".".join(path)[:60]) for path in paths[:2])
                raise Refused(f"it holds several state dicts, such as {several}")
            if paths:
                return paths[0]
        return None

    def tensors_of(self, module: Foreign) -> dict[str, Any]:
        """Return a module's tensors by name, as its `state_dict()` would: its own, then its children's."""
        found: dict[str, Any] = {}
        waiting = [("", module)]
        while waiting:
            prefix, part = waiting.pop()
            parameters, buffers, children = (part.state[name] for name in _OF_MODULE)
            unsaved = _words(part.state.get("_non_persistent_buffers_set"))
            self.entries += 1 + sum(map(len, (parameters, buffers, children, unsaved)))
            if self.entries > MAX_ENTRIES or len(prefix) > MAX_PREFIX:
                raise Refused("its modules are nested too deep")
            for name, entry in (*parameters.items(), *buffers.items()):
                if entry is not None and name not in unsaved:
                    found[prefix + name] = entry
            modules = [(f"{prefix}{n}.", child) for n, child in children.items()]
            waiting += [pair for pair in reversed(modules) if self.is_module(pair[1])]
        return found


def _words(value: Any) -> Sequence[Any]:
    """The elements of a set, which is foreign: they stand in the list that it was given."""
    given = value.arguments[0] if type(value) is Foreign and value.arguments else ()
    return given if type(given) is list and len(given) <= MAX_UNSAVED else ()


def _has_tensor(value: Mapping[str, Any]) -> bool:
    return any(type(item) is TensorView for item in value.values())
