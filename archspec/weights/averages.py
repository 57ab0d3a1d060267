"""Moving averages of weights (EMA) in a file: which of its tensors they are, which are taken.

Whoever trains keeps them in a dict of their own (timm's `state_dict_ema`, torchvision's
`model_ema`), or beside the plain ones behind a prefix (MindCV's and our `ema.`, `ema_model.` of a
module that owns both). What all of these have in common is the word.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, TypeVar

from archspec.operators.attributes import STATISTICS
from archspec.weights.pairing.grouping import ROLES
from archspec.weights.pairing.naming import FAR_MORE, list_prefixes

Tensor = TypeVar("Tensor", bound=Any)
"""Anything with a `shape`."""

_WORD = re.compile(r"(?<![a-z])ema(?![a-z])", re.IGNORECASE)
_STATISTICS = frozenset(chain.from_iterable(ROLES[role] for role in STATISTICS))
_SETTINGS = frozenset(("decay", "num_updates", "n_averaged", "updates", "steps", "step", "initted"))
"""What averaging itself keeps beside the averages, by the last part of its name."""


class NoAverages(ValueError):
    """There are no EMA weights, or several sets of them."""


@dataclass(frozen=True)
class ChosenWeights(Generic[Tensor]):
    """The tensors that are taken, by the file's names, and a line that says which they are."""

    tensors: Mapping[str, Tensor]
    remark: str = ""
    key: str = ""
    """Where averages were taken from: a key of a dict of their own, or a prefix."""


def is_average(word: str) -> bool:
    """Tell whether a key, or a part of a name, says EMA: `state_dict_ema`, `EMA-model`."""
    return _WORD.search(word) is not None


def choose_weights(
    held: Mapping[str, Tensor], apart: Mapping[str, Mapping[str, Tensor]], ema: bool
) -> ChosenWeights[Tensor]:
    """Return the plain weights or their moving averages; these too where there are no others.

    Args:
        held: the tensors of the file, EMA ones behind a prefix among them.
        apart: those of dicts that hold EMA weights alone, by the keys that lead there.
        ema: averages are asked for.

    Raises:
        NoAverages: there are none or several, where they are asked for or nothing else is there.
    """
    groups = _group_by_prefix(held)
    plain = groups.pop("", {})
    averages = [pair for pair in (*apart.items(), *groups.items()) if pair[1]]
    shown = " and ".join(repr(key[:60]) for key, _ in averages[:2])
    most = max((len(each) for _, each in averages), default=0)
    if not ema and (not averages or len(plain) * FAR_MORE > most):
        remark = f"the file's plain weights were taken; its EMA weights, {shown}, were not"
        return ChosenWeights(plain, remark if averages else "")
    if not averages:
        raise NoAverages("has no EMA weights that could be taken")
    if len(averages) > 1:
        raise NoAverages(f"has several sets of EMA weights: {shown}")
    ((key, found),) = averages
    taken, remark = _complete_statistics(_without_settings(found), plain)
    alone = "" if plain else " (it has no others)"
    return ChosenWeights(taken, f"the file's EMA weights, {shown}, were taken{alone}{remark}", key)


def _group_by_prefix(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Tensors by the part of their names that ends in the word; plain ones by "".

    The word counts where it stands first, or behind what all names begin with: a layer that is
    called so deep in a network is none of averages.
    """
    depth = list_prefixes(tensors)[-1].count(".") + 1
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        groups.setdefault(_find_prefix(name, depth), {})[name] = tensor
    return groups


def _find_prefix(name: str, depth: int) -> str:
    if not is_average(name):
        return ""
    parts = name.split(".")[:-1][:depth]
    ends = [index for index, part in enumerate(parts, start=1) if is_average(part)]
    return ".".join(parts[: ends[0]]) if ends else ""


def _without_settings(averages: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Averages alone: not how many they are of, nor the plain ones that they may keep along."""
    groups = _group_by_prefix(averages)
    groups.pop("", None)
    inner = averages if len(groups) != 1 else next(iter(groups.values()))
    return {name: each for name, each in inner.items() if not _is_setting(name, each)}


def _is_setting(name: str, tensor: Any) -> bool:
    return getattr(tensor, "shape", None) == () and name.rpartition(".")[2] in _SETTINGS


def _complete_statistics(
    averages: Mapping[str, Tensor], plain: Mapping[str, Tensor]
) -> tuple[Mapping[str, Tensor], str]:
    """Moving statistics are averages already, so some average the other tensors alone."""
    theirs, ours = (_strip_prefix(names) for names in (averages, plain))
    missing = {name for name in ours.keys() - theirs.keys() if _is_statistic(name)}
    if not missing or theirs.keys() - ours.keys():
        return averages, ""
    prefix = list_prefixes(averages)[-1]
    taken: dict[str, Tensor] = {}
    for name, full in ours.items():  # in the order of the plain ones, which pairing may go by
        if name in missing:
            taken[prefix + name] = plain[full]
        elif name in theirs:
            taken[theirs[name]] = averages[theirs[name]]
    return taken, "; the moving statistics, which they lack, are the plain weights'"


def _is_statistic(name: str) -> bool:
    return name.rpartition(".")[2] in _STATISTICS


def _strip_prefix(names: Collection[str]) -> dict[str, str]:
    """Names without what all begin with -> whole names."""
    length = len(list_prefixes(names)[-1])
    return {name[length:]: name for name in names}
