"""May MindSpore's own loader be handed a MINDIR? It runs whatever operators the file names, those
too that no output shows, and reads weights from wherever the file says.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from archspec.errors import Diagnostic, ModelFileError
from archspec.readers.mindir.call import short_name
from archspec.readers.mindir.decode import Model
from archspec.readers.mindir.operators import PLUMBING, PRIMITIVES
from archspec.readers.tensors import Tensor

MAX_NAMED = 3
MAX_WORD = 60


def check_loadable(model: Model, path: Path) -> None:
    """Check that a file holds known operators alone, and all values of its weights.

    Raises:
        ModelFileError: R008, it does not.
    """
    faults = []
    unknown = sorted(set(_list_kinds(model)) - PLUMBING.keys() - PRIMITIVES.keys())
    without = [name for name, value in model.shared.items() if _lacks_values(value)]
    for rule, names in (
        ("has operators that no dense network has, beside those that lead to its output", unknown),
        ("does not hold all values of weights", without),
    ):
        if names:
            named = ", ".join(short_name(name)[:MAX_WORD] for name in islice(names, MAX_NAMED))
            more = f" and {len(names) - MAX_NAMED:,} more" if names[MAX_NAMED:] else ""
            faults.append(Diagnostic("R008", f"{rule}: {named}{more}", str(path)))
    if faults:
        raise ModelFileError(faults)


def _list_kinds(model: Model) -> Iterator[str]:
    """What nodes do: an entry of the primitives, or a kind that stands in the node itself."""
    yield from (kind for kind, _ in model.primitives.values())
    for function in (model.main, *model.functions.values()):
        values = {node.output for node in function.nodes}
        values.update(name for name, _ in function.inputs)
        known = chain(values, model.primitives, model.functions)
        yield from {node.primitive for node in function.nodes}.difference(known)


def _lacks_values(value: object) -> bool:
    return isinstance(value, Tensor) and value.source is None
