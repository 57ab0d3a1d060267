"""How others call the parameters of a network:
rules from our names to theirs, and which of them a file follows.

A naming is read backwards over the names that a network has, so a file that was renamed and named
back is the same.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from archspec.errors import ModelFileError
from archspec.weights.pairing.lone_levels import drop_lone_levels, list_dropped

FAR_MORE = 4
"""How many times as many tensors a network has as what lies beside it, a loss or statistics."""
MAX_PREFIXES = 8
MAX_NAMED = 3
"""Levels that a title names."""

Replacement = str | Callable[[re.Match[str]], str]
Naming = tuple[tuple[str, Replacement], ...]

_TORCH_NORMS: Naming = (
    (r"\.gamma$", ".weight"),
    (r"\.beta$", ".bias"),
    (r"\.moving_mean$", ".running_mean"),
    (r"\.moving_variance$", ".running_var"),
    (r"\.w$", ".weight"),  # of a PReLU
)

NAMINGS: Mapping[str, Naming] = {
    "mindspore": (),  # ours: torchvision's places with MindSpore's suffixes
    # mindcv/models/densenet.py: layers count from 0, a transition is a cell with `features`.
    "mindcv": (
        (r"\.denselayer(\d+)\.", lambda found: f".cell_list.{int(found[1]) - 1}."),
        (r"\.(transition\d+)\.", r".\1.features."),
    ),
    "torchvision": _TORCH_NORMS,  # torchvision/models/densenet.py
    "timm": _TORCH_NORMS,  # timm/models/densenet.py
    "torchvision_old": (  # the files of 2017, which torchvision's `_load_state_dict` renames
        (r"\.(denselayer\d+)\.(norm|conv)([12])\.", r".\1.\2.\3."),
        *_TORCH_NORMS,
    ),
}
TITLES: Mapping[str, str] = {
    "mindspore": "MindSpore's own, as here",
    "mindcv": "MindCV's",
    "torchvision": "torchvision's and timm's",
    "timm": "torchvision's and timm's",
    "torchvision_old": "torchvision's of 2017",
}


@dataclass(frozen=True)
class RecognisedNaming:
    """A naming, what stands before all names of the file,
    and the file's name of each of our parameters.
    """

    naming: str
    prefix: str
    theirs: Mapping[str, str]
    levels: tuple[str, ...] = ()
    """Parts of the file's names that tell nothing and were passed over: `layers`."""

    @property
    def title(self) -> str:
        """In words: `torchvision's and timm's, each after 'module.'`."""
        levels = ", ".join(repr(level[:60]) for level in self.levels[:MAX_NAMED])
        return (
            TITLES[self.naming]
            + (f", each after {self.prefix!r}" if self.prefix else "")
            + (f", with levels of its own ({levels})" if levels else "")
        )


def translate_names(naming: str, names: Iterable[str]) -> dict[str, str]:
    """Return for each of our names what a naming calls it.

    Raises:
        ModelFileError: R011, the naming has one name for two of them.
    """
    theirs: dict[str, str] = {}
    ours: dict[str, str] = {}
    for name in names:
        renamed = name
        # One after the other: a later rule sees what an earlier one has made of the name.
        for pattern, replacement in NAMINGS[naming]:
            renamed = re.sub(pattern, replacement, renamed)
        if renamed in ours:
            raise ModelFileError.one(
                "R011", f"calls both {ours[renamed]} and {name} {renamed}", f"naming {naming}"
            )
        theirs[name], ours[renamed] = renamed, name
    return theirs


def recognise_naming(
    found: Collection[str], names: Collection[str], where: str, only: str | None = None
) -> RecognisedNaming:
    """Return the naming and the prefix under which most names of a file are names of the network.

    Args:
        found: the file's names.
        names: our names of the network's parameters.
        where: the file, for the error.
        only: the naming, where it is known.

    Raises:
        ModelFileError: R011, in no naming are half of the network's names found, or half of the
            file's.
    """
    held = set(found)
    prefixes = _list_branches(found)
    candidates = _list_candidates([only] if only else NAMINGS, names, prefixes)
    covers = [len(held.intersection(each.theirs.values())) for each in candidates]
    most = max(covers)
    if most < len(names):
        for prefix in prefixes:
            candidates += _list_without_levels([only] if only else NAMINGS, names, found, prefix)
        covers = [len(held.intersection(each.theirs.values())) for each in candidates]
        most = max(covers)
    if only is None and most * 2 < min(len(names), len(held)):
        shown = ", ".join(list(found)[:3])
        message = f"follows no naming that is known here: {shown}, ..."
        raise ModelFileError.one("R011", message, where, "--map FILE, or --by-order")
    # The first of equals: torchvision's names and timm's are the same.
    return candidates[covers.index(most)]


def _list_candidates(
    namings: Iterable[str], names: Collection[str], prefixes: Sequence[str]
) -> list[RecognisedNaming]:
    candidates = []
    for naming in namings:
        translated = translate_names(naming, names)
        for prefix in prefixes:
            theirs = {name: prefix + other for name, other in translated.items()}
            candidates.append(RecognisedNaming(naming, prefix, theirs))
    return candidates


def _list_without_levels(
    namings: Iterable[str], names: Collection[str], found: Collection[str], prefix: str
) -> list[RecognisedNaming]:
    """Names in which the file, or the naming, has levels that hold one thing alone."""
    branch = [name for name in found if name.startswith(prefix)]
    if len(branch) > FAR_MORE * len(names):  # another network, and what it holds could be anything
        return []
    whole = {short: name for name, short in drop_lone_levels(branch).items()}
    dropped = set(list_dropped(name.removeprefix(prefix) for name in branch))
    candidates = []
    for naming in namings:
        translated = translate_names(naming, names)
        theirs = {}
        for name, short in drop_lone_levels(translated.values()).items():
            theirs[name] = whole.get(short, prefix + name)
        # A name that is missed must not be that of another tensor.
        if len(set(theirs.values())) == len(theirs):
            levels = sorted(dropped - set(list_dropped(translated.values())))
            by_ours = {name: theirs[other] for name, other in translated.items()}
            candidates.append(RecognisedNaming(naming, prefix, by_ours, tuple(levels)))
    return candidates


def _list_branches(found: Collection[str]) -> list[str]:
    """`""`, `"net."`, as far as one part of the names has far more of them than the others."""
    prefixes, rest = [""], list(found)
    while rest and len(prefixes) <= MAX_PREFIXES:
        tails = [name[len(prefixes[-1]) :] for name in rest]
        counts = Counter(tail.partition(".")[0] for tail in tails if "." in tail)
        first, count = max(counts.items(), key=lambda each: each[1], default=("", 0))
        if not count or count < FAR_MORE * (len(rest) - count):
            break
        prefixes.append(f"{prefixes[-1]}{first}.")
        rest = [name for name in rest if name.startswith(prefixes[-1])]
    return prefixes


def list_prefixes(found: Collection[str]) -> list[str]:
    """Return `""`, `"module."`, `"module.network."`, as far as all names of a file share them."""
    if not found:
        return [""]
    # What the first and the last in the alphabet begin with, all between them do too.
    first, last = min(found), max(found)
    heads = [first[: index + 1] for index, letter in enumerate(first) if letter == "."]
    return ["", *(head for head in heads if last.startswith(head))]
