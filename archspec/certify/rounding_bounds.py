"""How far may rounding have moved a weight?"""

from __future__ import annotations

from typing import Any

import numpy as np

from archspec.errors import Diagnostic
from archspec.graph.ir import Op
from archspec.readers.tensors import Source, Values, find_whole

SHARE = 2.0**-7
"""Of the largest value of a filter, or of a channel's scale and shift: what bfloat16 and folding
move a value by that is not whole."""

Array = Any


def find_steps(source: Source, values: Values) -> Array | None:
    """Return the steps of whole numbers; None where there are none."""
    whole = find_whole(source)
    steps = None if whole is None else values.of(whole.inputs[1])
    return None if steps is None else np.asarray(steps, np.float64).reshape(-1)


def tell_far(op: Op, what: str, away: Array, bound: Array) -> Diagnostic | None:
    """Return what is said of weights that are further away than a bound, or are no numbers; None
    where none are.
    """
    far = int((~(np.abs(away) <= bound)).sum())
    if not far:
        return None
    told = f"{far:,} of {away.size:,} values are further than rounding from the given weights"
    return Diagnostic("R113", f"{op.name}: of its {what} {told}", op.name)
