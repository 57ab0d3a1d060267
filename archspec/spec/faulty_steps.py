"""Faults of a list of steps that no step shows alone:
widths that its part does not have, a name for two steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from archspec.settings import Path
from archspec.spec.steps import StepSpec, find_named_widths

OF_A_LAYER = ("in", "out", "k", "bottleneck")
"""What the widths of a layer may name."""


def find_faulty_steps(
    steps: Any, known: tuple[str, ...], *field: str
) -> Iterator[tuple[Path, str]]:
    """Yield each width that names what a part does not have,
    and each step with an earlier one's name.

    `field` is where the part has its steps, `steps` where nothing is said.
    """
    field = field or ("steps",)
    # Parameters are called after steps, so that a name must be one step's in all branches too.
    names: set[str] = set()
    for path, step in walk_steps(steps):
        for name in [each for each in find_named_widths(step) if each not in known]:
            rule = f"has no {name!r} here; known are {', '.join(known)} and numbers"
            yield (*field, *path), f"the width of {step.kind} {rule}"
        if step.name in names:
            yield (*field, *path, "name"), f"name (={step.name}) stands for two steps"
        names |= {step.name} - {""}


def walk_steps(steps: Any, path: Path = ()) -> Iterator[tuple[Path, StepSpec]]:
    """Yield each step of a list, those of branches too, with its path; of a template none."""
    for index, step in enumerate(steps if isinstance(steps, tuple) else ()):
        here = (*path, index)
        yield here, step
        for number, branch in enumerate(step.branches.of if step.branches else ()):
            yield from walk_steps(branch, (*here, "branches", "of", number))
