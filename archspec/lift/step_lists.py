"""The steps that parts of a network have in common, written out, with widths such as `4k`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from typing import Any

from archspec.graph.squeeze_excite import Gate, count_inner
from archspec.lift.matching_steps import (
    PartInstance,
    Style,
    collect_told_settings,
    shorten_float,
)
from archspec.lift.network import Unliftable
from archspec.lift.operators_to_steps import Step
from archspec.operators.attributes import never
from archspec.operators.language_step import Step as RowStep
from archspec.operators.named_widths import width_of
from archspec.operators.operator import Operator
from archspec.operators.table import OPERATORS, norm_name
from archspec.spec.steps import MAX_REDUCTION, BranchesStep, SqueezeExciteStep

MAX_MULTIPLE = 64
MAX_PARTS = 32
_DENOMINATORS = frozenset({2, 4, 5, 8, 10})
"""Of shares that are short as decimals."""


def write_steps(
    instances: Sequence[PartInstance], style: Style, numbers: bool = False
) -> list[Any]:
    """Return the list of steps that these parts, whose kinds are the same, have in common.

    With `numbers` a width is said as a number where it can be.

    Raises:
        Unliftable: they have none.
    """
    return _StepWriter(style, numbers).write_list(
        [(instance.steps, instance) for instance in instances]
    )


Place = tuple[Step, Mapping[str, int]]
"""A step in one of the parts, and what names of widths stand for there."""


@dataclass(frozen=True)
class _StepWriter:
    style: Style
    numbers: bool

    def write_list(
        self, lists: Sequence[tuple[tuple[Step, ...], PartInstance]], ins: Sequence[int] = ()
    ) -> list[Any]:
        instances = [instance for _, instance in lists]
        ins = ins or [instance.in_channels for instance in instances]
        known = []
        for width, instance in zip(ins, instances, strict=True):
            known.append({**instance.known, "in": width})
        written = []
        # A column is one step of the list, as each of the parts has it.
        for column in zip(*(steps for steps, _ in lists), strict=True):
            places = list(zip(column, known, strict=True))
            written.append(self.write_step(places, instances))
        return written

    def write_step(self, places: Sequence[Place], instances: Sequence[PartInstance]) -> Any:
        first = places[0][0]
        if first.branches:
            return self.write_gate(places) or self.write_branches(places, instances)
        is_of_style = OPERATORS[first.kind].family in ("norm", "activation")
        return _write_by_style(self, places) if is_of_style else _write_operator(self, places)

    def write_gate(self, places: Sequence[Place]) -> Any:
        """A squeeze-and-excitation, where one share reduces all of them."""
        if any(step.kind != "squeeze_excite" for step, _ in places):
            return None
        # What one share and one kind do not say is written out as branches.
        reduction = _find_reduction([step for step, _ in places])
        activations, gates = set[str](), set[str]()
        for step, _ in places:
            inside = Gate(*step.branches[1])
            activations.add(inside.activation.kind)
            gates.add(inside.gate.kind)
        if reduction is None or len(activations) > 1 or len(gates) > 1:
            return None
        said = {"reduction": reduction, "activation": activations.pop(), "gate": gates.pop()}
        return _write_kind("squeeze_excite", _drop_usual(said, SqueezeExciteStep().model_dump()))

    def write_branches(self, places: Sequence[Place], instances: Sequence[PartInstance]) -> Any:
        join = places[0][0].operator
        lists = zip(*(step.branches for step, _ in places), strict=True)
        widths = [step.in_channels for step, _ in places]
        of = [
            self.write_list(list(zip(branch, instances, strict=True)), widths) for branch in lists
        ]
        usual = {"join": BranchesStep.model_fields["join"].default}
        return {"branches": {**_drop_usual({"join": join}, usual), "of": of}}

    def write_widths(self, row: Operator, places: Sequence[Place]) -> dict[str, int | str]:
        """The settings of a step that are widths."""
        assert row.step is not None
        fields, said = row.step.settings.model_fields, dict[str, int | str]()
        for name, attribute in row.step.widths.items():
            is_border = attribute != "out_channels"
            if is_border:
                # A border that is a share of what is read stays right for a part that reads more.
                said[name] = replace(self, numbers=False).write_width(places, attribute)
            elif fields[name].default is not None or not _keep_widths(places):
                said[name] = self.write_width(places)
        return said

    def write_width(self, places: Sequence[Place], border: str = "") -> int | str:
        """What a width of all these places is called, or an attribute that is a border
        between channels.
        """
        wanted = []
        for step, _ in places:
            wanted.append(step.attrs[border] if border else step.out_channels)
        number: list[int | str] = [wanted[0]] if len({*wanted}) == 1 else []
        # A width is likelier the part's own than that of what it happens to read; a border is a
        # share of what is read.
        order = ("in", "k", "out") if border else ("k", "out", "in")
        called = []
        if wanted[0] >= 1:
            called = [*_find_width_names(wanted, [names for _, names in places], order)]
        # A part's own width goes before a number, as it holds wherever the list is used again.
        exact = [name for name in called if name in ("k", "out")]
        ranked = [*exact, *number, *called] if self.numbers else [*called, *number]
        if not ranked:
            step = places[-1][0]
            message = f"{step.kind} has {wanted[-1]} channels, by no rule that the others follow"
            raise Unliftable(step.op, message)
        return ranked[0]


def _find_reduction(steps: Sequence[Step]) -> int | None:
    """The share by which all of these reduce their channels, if there is one; the usual first."""
    reductions: Sequence[int] = (SqueezeExciteStep().reduction, *range(1, MAX_REDUCTION + 1))
    for reduction in reductions:
        if all(count_inner(s.in_channels, reduction) == s.attrs["inner"] for s in steps):
            return reduction
    return None


def _find_width_names(
    wanted: Sequence[int], known: Sequence[Mapping[str, int]], order: Sequence[str]
) -> Iterator[str]:
    """Names, multiples and parts of names that come to these widths."""
    for name in order:
        if name not in known[0]:
            continue
        # The first place proposes, all of them must agree.
        share = Fraction(wanted[0], known[0][name])
        text = _write_multiple(share, name)
        if text and _fits_all(text, wanted, known):
            yield text


def _fits_all(text: str, wanted: Sequence[int], known: Sequence[Mapping[str, int]]) -> bool:
    pairs = zip(wanted, known, strict=True)
    return all(width_of(text, {**names}) == width for width, names in pairs)


def _write_multiple(share: Fraction, name: str) -> str:
    """A name as it is, `4k`, `k/2`, `1.5k`; '' where it is no such share."""
    if share == 1:
        return name
    if share.denominator == 1 and share <= MAX_MULTIPLE:
        return f"{share.numerator}{name}"
    if share < 1 and share * MAX_PARTS >= 1:
        return f"{name}/{int(1 / share)}"
    if share.denominator in _DENOMINATORS and share <= MAX_MULTIPLE:
        return f"{float(share):g}{name}"
    return ""


def _find_common(places: Sequence[Place], key: str, default: Any) -> Any:
    """The value of an attribute that all have."""
    values = [step.attrs.get(key, default) for step, _ in places]
    for (step, _), value in zip(places, values, strict=True):
        if value != values[0]:
            raise Unliftable(step.op, f"has {key} {value}, others in its place have {values[0]}")
        if isinstance(value, tuple):
            raise Unliftable(step.op, f"{step.kind} has {key} {value}; steps have one number")
    return shorten_float(values[0])


def _drop_usual(settings: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value for key, value in settings.items() if key not in usual or value != usual[key]
    }


def _write_kind(kind: str, settings: Mapping[str, Any]) -> Any:
    return {kind: dict(settings)} if settings else kind


def _write_by_style(made: _StepWriter, places: Sequence[Place]) -> Any:
    """A norm or an activation: the spec's own where it is that, else its kind with the settings
    that are not the kind's defaults.
    """
    row = OPERATORS[places[0][0].kind]
    kind, told = norm_name(row.kind), _find_told_settings([step for step, _ in places])
    usual = made.style.norm if row.family == "norm" else made.style.activation
    if kind == usual.kind and {**usual.own_settings, **told} == usual.own_settings:
        return row.family
    settings = _drop_usual(told, row.settings)
    return {row.family: {"kind": kind, **settings} if settings else kind}


def _find_told_settings(steps: Sequence[Step]) -> Mapping[str, Any]:
    """The settings that the file tells of some of these, which all must have in common."""
    told: dict[str, Any] = {}
    for key, value in chain.from_iterable(collect_told_settings(step).items() for step in steps):
        if value != told.setdefault(key, value):
            raise Unliftable(steps[0].op, f"has another {key} than others in its place")
    return told


def _write_operator(made: _StepWriter, places: Sequence[Place]) -> Any:
    """A step that is one operator, as its row says; what is said by default is left out."""
    row = OPERATORS[places[0][0].kind]
    step = row.step
    if step is None:
        raise Unliftable(places[0][0].op, f"is a {row.kind}, which no step says")
    said: dict[str, Any] = {**made.write_widths(row, places)}
    for setting, attribute in step.said.items():
        said[setting] = _find_word(places, step, setting)
        if not said[setting]:
            said[setting] = _find_common(places, attribute, row.defaults.get(attribute))
    named = {kind: name for name, kind in step.kinds.items()}
    said |= {"kind": named[row.kind]} if named else {}
    fields = step.settings.model_fields
    usual = {name: field.default for name, field in fields.items() if not field.is_required()}
    told = {setting: value for setting, value in said.items() if value is not None}
    return _write_kind(step.name, _drop_usual(told, {**usual, **step.usual(said)}))


def _find_word(places: Sequence[Place], step: RowStep, setting: str) -> str:
    """What is said in place of a setting's number, where it is right for all; else ''."""
    word, is_right = step.words.get(setting, ("", never))
    return word if all(is_right(found.attrs) for found, _ in places) else ""


def _keep_widths(places: Sequence[Place]) -> bool:
    """Say of operators that they give as many channels as they read, and no growth rate."""
    return all(step.in_channels == step.out_channels != names.get("k") for step, names in places)
