"""A transition as a spec writes it: what lies between two dense blocks, and what skips join there.

How wide it is, `compression` or `channels`, is archspec/spec/compression.py's.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticKnownError
from typing_extensions import Self

from archspec.operators.pools import PoolStep
from archspec.operators.table import OPERATORS
from archspec.settings import Flag, Path, Pooling, raise_broken_rules
from archspec.spec.compression import WidthSpec
from archspec.spec.faulty_steps import find_faulty_steps
from archspec.spec.steps import SkipJoin, StepSpec, make_step
from archspec.spec.templates import TransitionSteps, accept_bare_steps, resolve_steps


def _check_stem(value: str) -> str:
    # Pydantic's own message would name 'stem' alone, though a number is right too.
    if value != "stem":
        raise PydanticKnownError("literal_error", {"expected": "'stem' or the number of a block"})
    return value


Skip = Annotated[
    Annotated[int, Field(strict=True, ge=1, le=64), Tag("number")]
    | Annotated[Literal["stem"], BeforeValidator(_check_stem), Tag("stem")],
    Discriminator(lambda value: "stem" if isinstance(value, str) else "number"),
]
_OF_A_SKIP = {
    "crop": "to whose size it cuts",
    "join": "which it joins",
    "order": "whose place in the join it says",
    "after": "behind whose join it stands",
}
"""Settings that need a skip, and what each has to do with it."""


class TransitionSpec(WidthSpec):
    """Between two blocks: norm, activation, 1 x 1 convolution and 2 x 2 pooling,
    or the steps that are given.

    Where it says no width, the spec's compression holds.
    """

    pool: Pooling | None = None
    """2 x 2 pooling with stride 2 at its end; `avg` where absent, none after a list of steps."""
    steps: TransitionSteps | None = None
    """A template of transitions.yaml or a list of steps; `pre_activation` where absent."""
    skip: Skip | None = None
    """The number of an earlier block, or `stem`, whose output is joined at the transition's end."""
    crop: Flag = False
    """Whether what was enlarged is cut, at its centre, to the size of the skip."""
    join: SkipJoin = "concat"
    """How the skip is joined."""
    order: Literal["skip_last", "skip_first"] = "skip_last"
    """Whether a concatenation has the skip behind what the steps give
    (the U-Net's authors) or before it."""
    after: TransitionSteps | None = None
    """Steps behind the skip's join."""

    @model_validator(mode="after")
    def _check_skip(self) -> Self:
        faults: list[tuple[Path, str]] = []
        for key, use in _OF_A_SKIP.items():
            # Compared with the default, not asked whether it was set: a resolved spec sets all.
            is_said = getattr(self, key) != type(self).model_fields[key].default
            if is_said and self.skip is None:
                faults.append(((key,), f"{key} needs a skip, {use}"))
        if self.order == "skip_first" and OPERATORS[self.join].commutes:
            rule = f"order does nothing beside join: {self.join}, which has none"
            faults.append((("order",), rule))
        faults += find_faulty_steps(self.steps, ("in", "out"))
        faults += find_faulty_steps(self.after, ("in", "out"), "after")
        raise_broken_rules(faults)
        return self

    @property
    def says_it_all(self) -> bool:
        """Its steps leave no place for a pooling that they do not name."""
        return isinstance(self.steps, tuple) or self.steps == "none"

    def steps_resolved(self) -> tuple[StepSpec, ...]:
        """Return the transition's steps."""
        pool = self.pool or ("none" if self.says_it_all else "avg")
        end = [make_step(f"{pool}_pool", PoolStep(kernel=2, stride=2))] * (pool != "none")
        return (*resolve_steps("transitions", self.steps or "pre_activation"), *end)


Transition = Annotated[TransitionSpec, BeforeValidator(accept_bare_steps)]
