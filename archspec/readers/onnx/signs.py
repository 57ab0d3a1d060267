"""Is a value known to be never below zero, as what ReLUs give, joined or pooled, or a square?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from archspec.graph.ir import Op
from archspec.operators.table import OPERATORS
from archspec.readers.trace import Trace

MAX_LOOKED = 256
"""Operators that are looked through for those that give nothing below zero."""


def is_never_negative(trace: Trace, name: str) -> bool:
    """Say whether an operator gives nothing below zero, whatever the image is."""
    seen, waiting = {name}, [name]
    while waiting and len(seen) <= MAX_LOOKED:
        needed = _list_needed(trace.ops[waiting.pop()])
        if needed is None:
            return False
        before = {*needed} - seen
        seen |= before
        waiting.extend(before)
    return not waiting


def _list_needed(op: Op) -> Sequence[str] | None:
    """Which of its inputs must not be negative so that it is not; None: it may be anyway."""
    row, part = OPERATORS.get(op.kind), _PARTS.get(op.kind)
    if (row is not None and row.is_never_negative) or _is_square(op):
        return ()
    if row is not None and row.interval is not None and row.interval(op.attrs)[0] >= 0:
        return ()
    keeps_sign = row.keeps_sign if row is not None else part is not None and part(op)
    return op.inputs if keeps_sign else None


def _is_square(op: Op) -> bool:
    if op.kind == "power":
        return bool(op.attrs["value"] % 2 == 0)
    return op.kind == "multiply" and len({*op.inputs}) == 1


def _is_not_below_zero(op: Op) -> bool:
    return bool(op.attrs["value"] >= 0)


_PARTS: Mapping[str, Callable[[Op], bool]] = {
    **dict.fromkeys(("plus", "times"), _is_not_below_zero),
    **dict.fromkeys(("mean", "sqrt", "reciprocal", "divide"), lambda op: True),
}
"""Parts of operators that files write out, and whether they keep the sign of all that they read."""
