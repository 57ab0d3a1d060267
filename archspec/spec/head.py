"""The head of a network as a spec writes it: from the last feature map to the classes."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator
from typing_extensions import Self

from archspec.settings import Rate, SpecModel, raise_broken_rules
from archspec.spec.faulty_steps import find_faulty_steps
from archspec.spec.steps import StepSpec
from archspec.spec.templates import HeadSteps, accept_bare_steps, resolve_steps


class HeadSpec(SpecModel):
    """Norm, activation, global average pooling, dropout, dense layer,
    or the steps that are given.
    """

    num_classes: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 1000
    """Classes that the network tells apart."""
    dropout: Rate = 0.0
    """Rate of the head's dropout."""
    steps: HeadSteps = "classifier"
    """A template of heads.yaml or a list of steps."""

    @model_validator(mode="after")
    def _check_widths(self) -> Self:
        raise_broken_rules(find_faulty_steps(self.steps, ("in", "out")))
        return self

    def steps_resolved(self) -> tuple[StepSpec, ...]:
        """Return the head's steps."""
        return resolve_steps("heads", self.steps)


Head = Annotated[HeadSpec, BeforeValidator(accept_bare_steps)]
