"""Steps: what a stem, a layer, a transition or a head consists of, one operator after the other.

    [norm, activation, {conv: {width: k, kernel: 3}}, {dropout: {rate: 0.2}}]

A step is a mapping of one kind to its settings; where all are default, the kind alone will do. Most
are an operator each, whose row (archspec/operators/) has their settings; the others stand here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    create_model,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticKnownError
from typing_extensions import Self

from archspec.operators.activations import ActivationSettings
from archspec.operators.named_widths import WIDTH
from archspec.operators.norms import NormSettings
from archspec.operators.table import (
    ACTIVATIONS,
    GATES,
    JOINS,
    JOINS_OF_ANY,
    NORM_KINDS,
    NORMS,
    OPERATORS,
    STEPS,
    norm_name,
)
from archspec.settings import SpecModel, broken_rule

if TYPE_CHECKING:
    ActivationKind = str
    GateKind = str
    Join = str
    SkipJoin = str
    NormKind = str
else:
    ActivationKind = Literal[ACTIVATIONS]
    GateKind = Literal[GATES]
    Join = Literal[JOINS]
    SkipJoin = Literal[JOINS_OF_ANY]
    NormKind = Literal[tuple(NORM_KINDS) + ("none",)]  # noqa: RUF005

MAX_STEPS = 64
MAX_REDUCTION = 256

_OF_THE_SPEC = ("name", "norm", "activation")
"""Keys of a step for which nothing has a meaning of its own."""


def find_named_widths(step: StepSpec) -> Iterator[str]:
    """Yield what the widths of a step are multiples or parts of."""
    row = STEPS.get(step.kind)
    for key in row.step.widths if row and row.step else ():
        width = getattr(step.settings, key)
        found = WIDTH.fullmatch(width) if isinstance(width, str) else None
        if found:
            yield found[2]


def make_step(kind: str, settings: Any = None) -> StepSpec:
    """Return a step with settings that are valid already; None where they are the spec's own."""
    return StepSpec.model_construct({kind}, **{kind: settings})


def _accept_bare_kind(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


def _list_owners(kinds: tuple[str, ...], key: str) -> str:
    """The kinds that have a setting, in words."""
    owners = [norm_name(kind) for kind in kinds if key in OPERATORS[kind].settings]
    return " and ".join(", ".join(owners).rsplit(", ", 1))


class NormSpec(NormSettings):
    """Normalisation. Defaults: torchvision's eps, and MindSpore's momentum (PyTorch's 0.1)."""

    kind: NormKind = "batch"
    """What it averages over."""

    @model_validator(mode="after")
    def _check_settings_of_kind(self) -> Self:
        for key in _SETTINGS_OF_SOME_NORMS:
            if key in self.model_fields_set and key not in self.own_settings:
                owners = _list_owners(NORMS, key)
                rule = f"{key} is a setting of the norm {owners}, not of {self.kind}"
                raise broken_rule(key, rule)
        return self

    @property
    def operator(self) -> str:
        """The kind of operator; '' for none."""
        return NORM_KINDS.get(self.kind, "")

    @property
    def own_settings(self) -> Mapping[str, Any]:
        """The settings of its kind."""
        settings = OPERATORS[self.operator].settings if self.operator else {"eps": self.eps}
        return {key: getattr(self, key) for key in settings}

    @model_serializer(mode="wrap")
    def _drop_settings_of_others(self, whole: SerializerFunctionWrapHandler) -> Any:
        kept = {"kind", *self.own_settings}
        return {key: value for key, value in whole(self).items() if key in kept}


def _is_of_all_norms(key: str) -> bool:
    return all(key in OPERATORS[kind].settings for kind in NORMS)


_SETTINGS_OF_SOME_NORMS = tuple(
    key for key in NormSettings.model_fields if key != "kind" and not _is_of_all_norms(key)
)


class ActivationSpec(ActivationSettings):
    """An activation; `silu` is short for `{kind: silu}`."""

    kind: ActivationKind = "relu"
    """Of the function."""

    @model_validator(mode="after")
    def _check_settings_of_kind(self) -> Self:
        for key in self.said_settings:
            if key not in OPERATORS[self.kind].settings:
                owners = _list_owners(ACTIVATIONS, key)
                raise broken_rule(key, f"{key} is a setting of {owners}, not of {self.kind}")
        if fault := OPERATORS[self.kind].fault(self.own_settings):
            raise broken_rule((), fault)
        return self

    @property
    def said_settings(self) -> Mapping[str, Any]:
        """The settings that are not left to the kind's default."""
        given = ((key, getattr(self, key)) for key in type(self).model_fields if key != "kind")
        return {key: value for key, value in given if value is not None}

    @property
    def own_settings(self) -> Mapping[str, Any]:
        """The settings of its kind, defaults included."""
        return {**OPERATORS[self.kind].settings, **self.said_settings}

    def attrs(self, channels: int) -> Mapping[str, Any]:
        """Return the operator's attributes where it reads so many channels."""
        needs_channels = "channels" in OPERATORS[self.kind].required
        return {**self.own_settings, **({"channels": channels} if needs_channels else {})}

    @model_serializer(mode="wrap")
    def _write_short(self, whole: SerializerFunctionWrapHandler) -> Any:
        kept = {"kind", *self.said_settings}
        values = {key: value for key, value in whole(self).items() if key in kept}
        return values if self.said_settings else self.kind


Activation = Annotated[ActivationSpec, BeforeValidator(_accept_bare_kind)]
Norm = Annotated[NormSpec, BeforeValidator(_accept_bare_kind)]


class SqueezeExciteStep(SpecModel):
    """Scales each channel by a gate that reads the mean of all (Hu et al. 2018)."""

    reduction: Annotated[int, Field(strict=True, ge=1, le=MAX_REDUCTION)] = 16
    """The gate's inner width is the channels divided by this."""
    activation: Activation = ActivationSpec()
    """Inside the gate."""
    gate: GateKind = "sigmoid"
    """The function that ends the gate."""


class BranchesStep(SpecModel):
    """Several lists of steps that read the same feature map; an empty one passes it on as it is."""

    join: Join = "concat"
    """How what they give is joined: side by side, or value by value."""
    of: Annotated[tuple[tuple[Step, ...], ...], Field(min_length=2, max_length=16)]
    """The lists of steps."""

    @model_validator(mode="after")
    def _check_number_of_branches(self) -> Self:
        row = OPERATORS[self.join]
        if row.arity == 2 and len(self.of) > 2:
            rule = f"must be two to {self.join}: {row.about}"
            raise broken_rule("of", f"of (={len(self.of)} branches) {rule}")
        return self


class _OneStep(SpecModel):
    """One operator."""

    name: Annotated[
        str,
        Field(strict=True, pattern=r"^[A-Za-z][A-Za-z0-9_]{0,31}(\.[A-Za-z][A-Za-z0-9_]{0,31})?$"),
    ] = ""
    """Of its parameters; numbered by kind where absent (`conv1`, `norm2`)."""

    @model_validator(mode="after")
    def _check_one_operator(self) -> Self:
        kinds = self.model_fields_set - {"name"}
        if len(kinds) != 1:
            given = ", ".join(sorted(kinds)) or "none"
            raise broken_rule(
                (), f"a step is one operator (given: {given}); write a list item for each"
            )
        return self

    @model_serializer(mode="wrap")
    def _write_short(self, whole: SerializerFunctionWrapHandler) -> Any:
        """As it is written: the kind alone where nothing else is said."""
        settings = whole(self).get(self.kind)
        if isinstance(settings, dict):
            for key in settings.keys() - self.settings.model_fields_set:
                del settings[key]
        # A bare `norm` is the spec's own, `norm: {}` one with all defaults: only one is short.
        is_short = self.settings is None or self.kind not in _OF_THE_SPEC
        if not self.name and not settings and is_short:
            return self.kind
        return {**({"name": self.name} if self.name else {}), self.kind: settings}

    @cached_property
    def kind(self) -> str:
        """The operator's kind, `conv`."""
        return next(iter(self.model_fields_set - {"name"}))

    @property
    def settings(self) -> Any:
        """The operator's settings;
        None where the spec's own are meant (a bare `norm` or `activation`).
        """
        return getattr(self, self.kind)


_SETTINGS: dict[str, Any] = {
    **{name: row.step.settings for name, row in STEPS.items() if row.step},
    "norm": Norm,
    "activation": Activation,
    "squeeze_excite": SqueezeExciteStep,
    "branches": BranchesStep,
}
"""What each kind of step is set by:
operators by their rows, the others by the models of this file."""

if TYPE_CHECKING:

    class StepSpec(_OneStep):
        """One operator."""

        branches: BranchesStep | None = None

else:
    # Made of the table, so that a new row of it is a new kind of step; mypy sees the class above.
    StepSpec = create_model(
        "StepSpec",
        __base__=_OneStep,
        __doc__=_OneStep.__doc__,
        __module__=__name__,
        **{kind: (settings | None, None) for kind, settings in _SETTINGS.items()},
    )


def _accept_bare_step(value: Any) -> Any:
    """A bare kind, or one without a value, is a step with default settings;
    norm and activation are the spec's own.
    """
    kinds = [kind for kind in StepSpec.model_fields if kind != "name"]
    if isinstance(value, str) and value not in kinds:
        raise PydanticKnownError("literal_error", {"expected": ", ".join(map(repr, kinds))})
    step = {value: None} if isinstance(value, str) else value
    if not isinstance(step, dict):
        return step
    for key in step.keys() - {*_OF_THE_SPEC}:
        if step[key] is None:
            step = {**step, key: {}}
    return step


Step = Annotated[StepSpec, BeforeValidator(_accept_bare_step)]
Steps = Annotated[tuple[Step, ...], Field(min_length=1, max_length=MAX_STEPS)]
BranchesStep.model_rebuild()
StepSpec.model_rebuild()
