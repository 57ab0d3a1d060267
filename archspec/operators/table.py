"""The one table of operators, and what follows from it: families, steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from archspec.operators import (
    activations,
    channels,
    convolutions,
    cuts,
    dense,
    dropouts,
    ends,
    joins,
    norms,
    pixel_shuffles,
    pools,
    transposed_convolutions,
    upsampling,
)
from archspec.operators.attributes import Attrs
from archspec.operators.operator import Operator

_FAMILIES = (
    ends,
    convolutions,
    transposed_convolutions,
    dense,
    norms,
    activations,
    dropouts,
    pools,
    upsampling,
    pixel_shuffles,
    cuts,
    channels,
    joins,
)
ROWS: tuple[Operator, ...] = tuple(row for family in _FAMILIES for row in family.ROWS)
OPERATORS: Mapping[str, Operator] = {row.kind: row for row in ROWS}

ACTIVATIONS = tuple(kind for kind, row in OPERATORS.items() if row.family == "activation")
NORMS = tuple(kind for kind, row in OPERATORS.items() if row.family == "norm")
"""Kinds of operators; a step says `batch` for `batch_norm`."""
GATES = tuple(kind for kind, row in OPERATORS.items() if row.is_gate)
"""Activations that end a gate."""
GLOBAL_POOLS = tuple(kind for kind, row in OPERATORS.items() if row.is_over_all_pixels)
"""Kinds of pools over all pixels."""
JOINS = tuple(kind for kind, row in OPERATORS.items() if row.arity is None or row.arity > 1)
"""Kinds that read several values, of which a spec's branches are joined."""
JOINS_OF_ANY = tuple(kind for kind in JOINS if OPERATORS[kind].arity is None)
"""Those of them that read any number."""
COMBINING = tuple(kind for kind in JOINS if kind != "concat")
"""Those of them whose operands are told apart; a concatenation is but its parts in a row."""
COMMUTATIVE = tuple(kind for kind, row in OPERATORS.items() if row.commutes)
"""Those of them that may read them in any order."""
STEPS: Mapping[str, Operator] = {
    row.step.name: row for row in OPERATORS.values() if row.step is not None
}
"""Operators that a step says, by the step's name."""

_KEPT = tuple(row for row in ROWS if not row.is_of_training)
IN_TRAINING: frozenset[str] = frozenset(chain.from_iterable(row.in_training for row in _KEPT))
"""Attributes, of operators that evaluation has, which training alone has a use for."""

REMAINS: Mapping[str, tuple[str, Attrs]] = {
    part: (row.kind, attrs) for row in ROWS for part, attrs in row.remains_of.items()
}
"""Parts in files that are an operator where they complete no other: its kind, and the attributes
that it has beside the part's."""


def norm_name(kind: str) -> str:
    """Return what the language calls a norm: `batch` of `batch_norm`."""
    return kind.removesuffix("_norm")


NORM_KINDS: Mapping[str, str] = {norm_name(kind): kind for kind in NORMS}
"""Kinds of norms by what the language calls them."""


def find_by_word(word: str) -> Operator | None:
    """Return the operator that a word means here or elsewhere, in any spelling: `HardTanh`."""
    return _BY_WORD.get(letters_of(word))


def letters_of(word: str) -> str:
    """Return a word without what spellings differ in: `depthtospace` of `DepthToSpace`."""
    return "".join(filter(str.isalnum, word)).lower()


def _words_of(row: Operator) -> Iterator[str]:
    yield from (row.kind, *row.other_names, *row.names_with)
    if row.family == "norm":
        yield norm_name(row.kind)


_BY_WORD: Mapping[str, Operator] = {
    letters_of(word): row for row in OPERATORS.values() for word in _words_of(row)
}


_SETTING_BY_WORD: Mapping[str, str] = {
    letters_of(word): setting for row in ROWS for word, setting in row.names_with.items()
}


def setting_meant_by(word: str) -> str:
    """Return the setting that a word says beside its operator's step, as that step has it:
    `standardized: true` of `WSConv2d`, `kind: max` of `global_max_pool`; '' for none.
    """
    row = find_by_word(word)
    if row is None or row.step is None:
        return ""
    kinds = {kind: name for name, kind in row.step.kinds.items()}
    said = kinds.get(row.kind, "")
    if said and said != row.step.settings.model_fields["kind"].default:
        return f"kind: {said}"
    return _SETTING_BY_WORD.get(letters_of(word), "")


def attribute(kind: str, attrs: Attrs, name: str) -> Any:
    """Return an attribute of an operator, or what it is where it is absent."""
    return attrs.get(name, OPERATORS[kind].defaults.get(name))
