"""The stem of a network as a spec writes it: what the image meets before the first dense block."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from typing_extensions import Self

from archspec.operators.convolutions import ConvStep
from archspec.operators.pools import PoolStep
from archspec.settings import Channels, Flag, OddKernel, Pooling, SpecModel, raise_broken_rules
from archspec.spec.faulty_steps import find_faulty_steps
from archspec.spec.steps import StepSpec, make_step
from archspec.spec.templates import StemSteps, accept_bare_steps, resolve_steps

_OF_THE_CONVOLUTION = ("kernel", "stride", "norm")
"""Settings of a stem that has no steps of its own."""


class StemSpec(SpecModel):
    """Convolution, norm and activation, or the steps that are given; then pooling."""

    channels: Channels | None = None
    """Output channels; 2 x growth_rate where absent (the paper's BC networks)."""
    kernel: OddKernel = 7
    """Pixels of the convolution's window."""
    stride: Annotated[int, Field(strict=True, ge=1, le=4)] = 2
    """Of the convolution."""
    norm: Flag = True
    """Norm and activation after the convolution; the paper's CIFAR networks have none here."""
    pool: Pooling | None = None
    """3 x 3 pooling with stride 2 and padding 1 at the stem's end;
    `max` where absent, none after a list."""
    steps: StemSteps | None = None
    """A template of stems.yaml or a list of steps, instead of kernel, stride and norm."""

    @model_validator(mode="after")
    def _check_steps(self) -> Self:
        faults = [*find_faulty_steps(self.steps, ("in", "out", "k"))]
        if self.steps is not None:
            why = "belongs to the stem without steps; say it in the steps"
            both = [key for key in _OF_THE_CONVOLUTION if key in self.model_fields_set]
            faults = [*(((key,), f"stem.{key} {why}") for key in both), *faults]
        raise_broken_rules(faults)
        return self

    @model_serializer(mode="wrap")
    def _drop_what_steps_say(self, whole: SerializerFunctionWrapHandler) -> Any:
        # Written out, the defaults of kernel, stride and norm would be settings beside the steps,
        # which reading refuses: a resolved spec must read back.
        values = whole(self)
        if self.steps is not None:
            for key in _OF_THE_CONVOLUTION:
                values.pop(key, None)
        return values

    def steps_resolved(self) -> tuple[StepSpec, ...]:
        """Return the stem's steps."""
        # A list says all that the stem does; a template is the convolution's part alone.
        pool = self.pool or ("none" if isinstance(self.steps, tuple) else "max")
        end = [make_step(f"{pool}_pool", PoolStep(kernel=3, stride=2, padding=1))] * (
            pool != "none"
        )
        if self.steps is not None:
            return (*resolve_steps("stems", self.steps), *end)
        conv = make_step("conv", ConvStep(width="out", kernel=self.kernel, stride=self.stride))
        return (conv, *[make_step("norm"), make_step("activation")] * self.norm, *end)


Stem = Annotated[StemSpec, BeforeValidator(accept_bare_steps)]
