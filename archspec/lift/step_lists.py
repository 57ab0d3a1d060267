"""The steps that parts of a network have in common, written out, with widths such as `4k`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from archspec.lift.matching_steps import (
    PartInstance,
    Style,
    collect_told_settings,
    is_same_value,
    shorten_float,
)
from archspec.lift.network import Unliftable
from archspec.lift.operators_to_steps import Step
from archspec.operators.convolutions import WEIGHT_EPS, same_padding
from archspec.operators.operator import Operator
from archspec.operators.table import ACTIVATIONS, NORMS, OPERATORS, norm_name
from archspec.operators.widths import width_of

MAX_MULTIPLE = 64
MAX_PARTS = 32
MAX_REDUCTION = 256


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
        return _WRITERS.get(first.kind, _write_operator)(self, places)

    def write_gate(self, places: Sequence[Place]) -> Any:
        """A squeeze-and-excitation, where one share reduces all of them."""
        if any(step.kind != "squeeze_excite" for step, _ in places):
            return None
        # What one share and one kind do not say is written out as branches.
        reduction = _find_reduction([step for step, _ in places])
        activations, gates = set[str](), set[str]()
        for step, _ in places:
            _, _, activation, _, gate = step.branches[1]
            activations.add(activation.kind)
            gates.add(gate.kind)
        if reduction is None or len(activations) > 1 or len(gates) > 1:
            return None
        said = {"reduction": reduction, "activation": activations.pop(), "gate": gates.pop()}
        usual = {"reduction": 16, "activation": "relu", "gate": "sigmoid"}
        return _write_kind("squeeze_excite", _drop_usual(said, usual))

    def write_branches(self, places: Sequence[Place], instances: Sequence[PartInstance]) -> Any:
        kind = places[0][0].kind
        lists = zip(*(step.branches for step, _ in places), strict=True)
        widths = [step.in_channels for step, _ in places]
        of = [
            self.write_list(list(zip(branch, instances, strict=True)), widths) for branch in lists
        ]
        join = {"squeeze_excite": "multiply"}.get(kind, kind)
        return {"branches": {**({} if join == "concat" else {"join": join}), "of": of}}

    def write_widths(self, row: Operator, places: Sequence[Place]) -> dict[str, int | str]:
        """The settings of a step that are widths."""
        names = row.step.widths if row.step else ()
        return {name: self.write_width(places) for name in names}

    def write_conv_width(self, places: Sequence[Place]) -> dict[str, int | str]:
        """The width of a convolution, unsaid where it gives as many channels
        as it reads and no growth rate.
        """
        unsaid = all(
            step.in_channels == step.out_channels != names.get("k") for step, names in places
        )
        return {} if unsaid else {"width": self.write_width(places)}

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
    reductions: Sequence[int] = (16, *range(1, MAX_REDUCTION + 1))
    for reduction in reductions:
        if all(max(1, s.in_channels // reduction) == s.attrs["inner"] for s in steps):
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
        yield from (
            text for text in _write_multiples(share, name) if _fits_all(text, wanted, known)
        )


def _fits_all(text: str, wanted: Sequence[int], known: Sequence[Mapping[str, int]]) -> bool:
    pairs = zip(wanted, known, strict=True)
    return all(width_of(text, {**names}) == width for width, names in pairs)


def _write_multiples(share: Fraction, name: str) -> Iterator[str]:
    """A name as it is, `4k`, `k/2`, `1.5k`."""
    if share == 1:
        yield name
    elif share.denominator == 1 and share <= MAX_MULTIPLE:
        yield f"{share.numerator}{name}"
    elif share < 1 and share * MAX_PARTS >= 1:
        yield f"{name}/{int(1 / share)}"
    elif share.denominator in (2, 4, 5, 8, 10) and share <= MAX_MULTIPLE:
        yield f"{float(share):g}{name}"


def _find_common(places: Sequence[Place], key: str, default: Any) -> Any:
    """The value of an attribute that all have."""
    values = [step.attrs.get(key, default) for step, _ in places]
    for (step, _), value in zip(places, values, strict=True):
        if value != values[0]:
            raise Unliftable(step.op, f"has {key} {value}, others in its place have {values[0]}")
        if isinstance(value, tuple):
            raise Unliftable(step.op, f"{step.kind} has {key} {value}; steps have one number")
    return values[0]


def _drop_usual(settings: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value for key, value in settings.items() if key not in usual or value != usual[key]
    }


def _write_kind(kind: str, settings: Mapping[str, Any]) -> Any:
    return {kind: dict(settings)} if settings else kind


def _write_conv(made: _StepWriter, places: Sequence[Place]) -> Any:
    said = {
        key: _find_common(places, key, usual)
        for key, usual in (("kernel", 1), ("stride", 1), ("padding", 0))
    }
    dilation = _find_common(places, "dilation", 1)
    depthwise = all(step.is_depthwise for step, _ in places)
    groups = "depthwise" if depthwise else _find_common(places, "groups", 1)
    width = {} if depthwise else made.write_conv_width(places)
    said |= {"dilation": dilation, "groups": groups, "bias": _find_common(places, "bias", False)}
    said |= _describe_standardized(places)
    usual = {"stride": 1, "dilation": 1, "groups": 1, "bias": False}
    return {
        "conv": {
            **width,
            **_drop_usual(said, {**usual, "padding": same_padding(said["kernel"], dilation)}),
        }
    }


def _describe_standardized(places: Sequence[Place]) -> dict[str, Any]:
    """What is said of convolutions whose filters are standardized; nothing of others."""
    if not _find_common(places, "standardized", False):
        return {}
    eps = shorten_float(_find_common(places, "weight_eps", None))
    return (
        {"standardized": True} if eps == WEIGHT_EPS else {"standardized": True, "weight_eps": eps}
    )


def _write_conv_transpose(made: _StepWriter, places: Sequence[Place]) -> Any:
    said = {
        key: _find_common(places, key, usual)
        for key, usual in (("kernel", 1), ("stride", 1), ("padding", 0))
    }
    said["bias"] = _find_common(places, "bias", False)
    return {
        "conv_transpose": {
            **made.write_conv_width(places),
            **_drop_usual(said, {"padding": 0, "bias": False}),
        }
    }


def _write_norm(made: _StepWriter, places: Sequence[Place]) -> Any:
    kind, groups = _find_common(places, "", places[0][0].kind), _find_common(places, "groups", None)
    eps = [step.attrs["eps"] for step, _ in places if step.attrs["eps"] is not None]
    if any(not is_same_value(eps[0], other) for other in eps):
        raise Unliftable(places[0][0].op, "has another eps than others in its place")
    said = {
        "kind": norm_name(kind),
        "eps": shorten_float(eps[0]) if eps else made.style.norm.eps,
        "groups": groups,
    }
    usual = made.style.norm.model_dump() if made.style.norm.kind == said["kind"] else {}
    if all(value is None or usual.get(key) == value for key, value in said.items()):
        return "norm"
    settings = _drop_usual(said, {"eps": 1e-5, "groups": None})
    return {"norm": settings["kind"] if [*settings] == ["kind"] else settings}


def _write_activation(made: _StepWriter, places: Sequence[Place]) -> Any:
    kind, usual = places[0][0].kind, made.style.activation
    told = dict[str, float]()
    for step, _ in places:
        for key, value in collect_told_settings(step):
            if value != told.setdefault(key, value):
                raise Unliftable(places[0][0].op, f"has another {key} than others in its place")
    if kind == usual.kind and {**usual.own_settings, **told} == usual.own_settings:
        return "activation"
    settings = _drop_usual(told, OPERATORS[kind].settings)
    return {"activation": {"kind": kind, **settings} if settings else kind}


def _write_slice(made: _StepWriter, places: Sequence[Place]) -> Any:
    # A border that is a share of what is read stays right for a part that reads more.
    made = _StepWriter(made.style, numbers=False)
    border = {key: made.write_width(places, key) for key in ("start", "stop")}
    return _write_kind("slice", _drop_usual(border, {"start": 0, "stop": "in"}))


def _write_operator(made: _StepWriter, places: Sequence[Place]) -> Any:
    """A step that is one operator, as its row says; what is said by default is left out."""
    row = OPERATORS[places[0][0].kind]
    step = row.step
    if step is None:
        raise Unliftable(places[0][0].op, f"is a {row.kind}, which no step says")
    said = {
        setting: _find_common(places, attribute, row.defaults.get(attribute))
        for setting, attribute in step.said.items()
    }
    named = {kind: name for name, kind in step.kinds.items()}
    said |= {"kind": named[row.kind]} if named else {}
    fields = step.settings.model_fields
    usual = {name: field.default for name, field in fields.items() if not field.is_required()}
    told = {setting: value for setting, value in said.items() if value is not None}
    return _write_kind(step.name, _drop_usual({**made.write_widths(row, places), **told}, usual))


_WRITERS: Mapping[str, Callable[[_StepWriter, Sequence[Place]], Any]] = {
    "conv": _write_conv,
    "conv_transpose": _write_conv_transpose,
    "slice": _write_slice,
    **dict.fromkeys(NORMS, _write_norm),
    **dict.fromkeys(ACTIVATIONS, _write_activation),
}
"""Steps whose settings do not follow from the row alone."""
