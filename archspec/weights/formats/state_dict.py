"""Where in a pickle's description the weights are: a dict of tensors by name, or a module.

A training checkpoint keeps the dict beside the epoch, the optimizer and whatever else its author
saved; how deep and under which key, nobody agrees. A module, `torch.save(model)`, is an object
whose class is not known here, but torch keeps its tensors in plain dicts: `_parameters`,
`_buffers`, and its children in `_modules`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archspec.weights.averages import is_average
from archspec.weights.formats.pickle_description import Foreign, PickleRefused, TensorView
from archspec.weights.pairing.naming import FAR_MORE

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
"""Modules and tensors looked at: modules may stand in several places, and in themselves."""
MAX_PREFIX = 200
MAX_UNSAVED = 100
"""Buffers of a module that its state dict leaves out."""
_OF_MODULE = ("_parameters", "_buffers", "_modules")
_NOT_PLAIN = ("torch._utils.", "torch._tensor.")
_PLAIN, _AVERAGED = "current_model_state", ("state_dict", "averaging_state")
"""Lightning's WeightAveraging puts the averages where the plain weights were, and these aside."""

Path = tuple[str, ...]


@dataclass(frozen=True)
class FoundStateDict:
    """A state dict, where it lies, and the names of what lies beside it."""

    key: str
    """The keys that lead there: `ema.module`."""
    state: Mapping[str, Any]
    beside: tuple[str, ...]


def find_state_dicts(value: Any) -> tuple[FoundStateDict | None, tuple[FoundStateDict, ...]]:
    """Return the tensors by name, wherever a training checkpoint keeps them, None for nowhere;
    and those of moving averages (EMA), under keys that say so.

    Raises:
        PickleRefused: several dicts could be meant, or they are nested too deep.
    """
    search, below = _Search(skips=is_average), _Search()
    path: Path | None
    places: list[Path]
    if search.is_named(value) and all(key in value for key in (_PLAIN, *_AVERAGED)):
        path, places = (_PLAIN,), [_AVERAGED[:1]]
    else:
        path = search.find_path(value, MAX_NESTING)
        places = list(_walk_averages(below, value, MAX_NESTING, set()))
    if path is None and not places and search.is_too_deep:
        raise PickleRefused("its state dict is nested too deep")
    plain = None if path is None else _open_path(search, value, path)
    return plain, tuple(_open_path(below, value, place) for place in places)


def _walk_averages(
    search: _Search, value: Any, depth: int, seen: set[tuple[int, int]]
) -> Iterator[Path]:
    """The paths below keys that say EMA, in whatever dicts; each dict is looked through once."""
    if not search.is_named(value) or (id(value), depth) in seen:
        return
    seen.add((id(value), depth))
    for name, inner in value.items():
        if is_average(name):
            path = _find_averages(search, inner, depth - 1)
            yield from [] if path is None else [(name, *path)]
        elif depth > 1:
            paths = _walk_averages(search, inner, depth - 1, seen)
            yield from ((name, *path) for path in paths)


def _find_averages(search: _Search, value: Any, depth: int) -> Path | None:
    """What is not understood there is no reason to refuse the plain weights."""
    try:
        return search.find_path(value, depth) if type(value) in (dict, Foreign) else None
    except PickleRefused:
        return None


def _open_path(search: _Search, value: Any, path: Path) -> FoundStateDict:
    beside: list[str] = []
    for key in path:
        beside += [name for name in value if name != key]
        value = value[key]
    return FoundStateDict(".".join(path), search.state_of(value), tuple(beside))


def is_special(entry: Any) -> bool:
    """Tell whether an entry is a tensor that is quantised, sparse or otherwise special, or one of
    numbers that are not known here.
    """
    if type(entry) is not Foreign:
        return False
    of_numbers = entry.name.startswith("torch.") and entry.name.endswith("Storage")
    return of_numbers or entry.name.startswith(_NOT_PLAIN)


class _Search:
    """Looks once at each dict and module, however often they are used."""

    def __init__(self, skips: Callable[[str], bool] | None = None) -> None:
        self.skips = skips
        self.known: dict[tuple[int, int], Path | None] = {}
        self.named: dict[int, bool] = {}
        self.counts: dict[int, int] = {}
        self.is_too_deep = False
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

    def find_path(self, value: Any, depth: int) -> Path | None:
        """Return the keys that lead to the dict or the module that holds the tensors."""
        place = id(value), depth
        if place not in self.known:
            self.known[place] = None  # where it holds itself
            self.known[place] = self._search_path(value, depth)
        return self.known[place]

    def _search_path(self, value: Any, depth: int) -> Path | None:
        if self.count_tensors(value):
            return () if self.is_module(value) else self._find_known_key(value, depth) or ()
        if not self.is_named(value):
            return None
        return self._find_known_key(value, depth) or self._find_largest(value, depth)

    def _find_known_key(self, value: Any, depth: int) -> Path | None:
        """Below one of the words that torch's users have."""
        paths = (self._find_below(name, value, depth) for name in NESTED)
        return next((path for path in paths if path is not None), None)

    def _find_below(self, name: str, value: Any, depth: int) -> Path | None:
        inner = value.get(name)
        if type(inner) not in (dict, Foreign) or (self.skips and self.skips(name)):
            return None
        if not depth:
            self.is_too_deep |= name in NESTED
            return None
        rest = self.find_path(inner, depth - 1)
        return None if rest is None else (name, *rest)

    def _find_largest(self, value: Mapping[str, Any], depth: int) -> Path | None:
        """Where far more tensors are than anywhere else:
        a loss, or statistics, may have some too.
        """
        ranked = []
        for name in value:
            path = self._find_below(name, value, depth)
            if path is not None:
                ranked.append((self.count_tensors(_follow_path(value, path)), path))
        if not ranked:
            return None
        ranked.sort(key=lambda each: -each[0])
        counts = [count for count, _ in ranked]
        if counts[1:] and counts[0] < FAR_MORE * counts[1]:
            several = " and ".join(repr(".".join(path)[:60]) for _, path in ranked[:2])
            raise PickleRefused(f"it holds several state dicts, such as {several}")
        return ranked[0][1]

    def count_tensors(self, value: Any) -> int:
        """Return how many tensors a dict or a module has."""
        if id(value) not in self.counts:
            state = self.state_of(value)
            tensors = [item for item in state.values() if type(item) is TensorView]
            self.counts[id(value)] = len(tensors)
        return self.counts[id(value)]

    def state_of(self, value: Any) -> Mapping[str, Any]:
        """Return the entries of a dict or a module by name; none of anything else."""
        if self.is_module(value):
            return self.tensors_of(value)
        return value if self.is_named(value) else {}

    def tensors_of(self, module: Foreign) -> dict[str, Any]:
        """Return a module's tensors as its `state_dict()` does: its own, then its children's."""
        found: dict[str, Any] = {}
        waiting = [("", module)]
        while waiting:
            prefix, part = waiting.pop()
            parameters, buffers, children = (part.state[name] for name in _OF_MODULE)
            unsaved = _read_set(part.state.get("_non_persistent_buffers_set"))
            # A file may name one module from many places, so what is looked at is counted.
            self.entries += 1 + sum(map(len, (parameters, buffers, children, unsaved)))
            if self.entries > MAX_ENTRIES or len(prefix) > MAX_PREFIX:
                raise PickleRefused("its modules are nested too deep")
            own = (*parameters.items(), *buffers.items())
            saved = [(name, entry) for name, entry in own if name not in unsaved]
            found |= {prefix + name: entry for name, entry in saved if entry is not None}
            modules = [(f"{prefix}{n}.", child) for n, child in children.items()]
            waiting += [pair for pair in reversed(modules) if self.is_module(pair[1])]
        return found


def _read_set(value: Any) -> Sequence[Any]:
    """The elements of a set, which is foreign: they stand in the list that it was given."""
    given = value.arguments[0] if type(value) is Foreign and value.arguments else ()
    return given if type(given) is list and len(given) <= MAX_UNSAVED else ()


def _follow_path(value: Any, path: Path) -> Any:
    for key in path:
        value = value[key]
    return value
