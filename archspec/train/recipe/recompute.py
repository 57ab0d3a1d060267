"""What a recipe says of recomputation: which values of the forward pass are not kept for the
backward pass, but computed again there.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from archspec.settings import SpecModel

UNITS = {"MB": 10**6, "GB": 10**9}
_SIZE = re.compile(r"([1-9][0-9]{0,5}(?:\.[0-9]{1,3})?) ?([MG]B)")


def _check_size(value: Any) -> Any:
    if isinstance(value, str) and _SIZE.fullmatch(value):
        return value
    raise PydanticCustomError("memory_size", "must be a size such as 8GB or 800MB")


MemorySize = Annotated[str, BeforeValidator(_check_size)]
"""Of memory: `8GB`, `800MB`."""
RecomputeKind = Literal["none", "concat", "layer", "block", "auto"]
KINDS: tuple[RecomputeKind, ...] = ("none", "concat", "layer", "block")
"""What `auto` chooses from, from the quickest step to the slowest."""


class RecomputeRecipe(SpecModel):
    """Values that are computed twice, so that less memory holds a batch; results stay the same, bit
    for bit. `layer` is short for `{kind: layer}`.
    """

    kind: RecomputeKind = "none"
    """concat: of each dense block all but what has filters: concatenations, norms and activations
    (arXiv 1707.06990); layer: all of each dense layer and transition but what it gives; block: all
    of each dense block but what it gives; auto: the quickest that fits the memory."""
    memory: MemorySize | None = None
    """Of auto: what a device has for the training step, such as `8GB`; on a CPU what is free when
    the run is planned where absent."""


def bytes_of(size: str) -> int:
    """Return the bytes of a size such as `8GB`."""
    found = _SIZE.fullmatch(size)
    assert found is not None  # the recipe's own check
    number, unit = found.groups()
    return int(float(number) * UNITS[unit])
