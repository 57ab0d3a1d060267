"""The steps that parts of a network have in common, written out, with widths such as `4k`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from archspec.lift.matching_steps import Instance, Style, same, short_float, told_settings
from archspec.lift.network import Unliftable
from archspec.lift.operators_to_steps import Step
from archspec.operators.convolutions import WEIGHT_EPS, same_padding
from archspec.operators.operator import Operator
from archspec.operators.table import ACTIVATIONS, NORMS, OPERATORS, norm_name
from archspec.operators.widths import width_of

MAX_MULTIPLE = 64
MAX_PARTS = 32
MAX_REDUCTION = 256


def listed(instances: Sequence[Instance], style: Style, numbers: bool = False) -> list[Any]:
    """Return the list of steps that these parts, whose kinds are the same, have in common.

    With `numbers` a width is said as a number where it can be.

    Raises:
        Unliftable: they have none.
    """
    return _Listed(style, numbers).run([(instance.steps, instance) for instance in instances])


Place = tuple[Step, Mapping[str, int]]
"""A step in one of the parts, and what names of widths stand for there."""


@dataclass(frozen=True)
class _Listed:
    style: Style
    numbers: bool

    def run(
        self, lists: Sequence[tuple[tuple[Step, ...], Instance]], ins: Sequence[int] = ()
    ) -> list[Any]:
        ins = ins or [instance.ins for _, instance in lists]
        known = [
            {**instance.known, "in": width} for width, (_, instance) in zip(ins, lists, strict=True)
        ]
        columns = zip(*(steps for steps, _ in lists), strict=True)
        return [
            self.step(list(zip(column, known, strict=True)), [i for _, i in lists])
            for column in columns
        ]

    def step(self, places: Sequence[Place], instances: Sequence[Instance]) -> Any:
        first = places[0][0]
        if first.branches:
            return self.gate(places) or self.branches(places, instances)
        return _SETTINGS.get(first.kind, _operator)(self, places)

    def gate(self, places: Sequence[Place]) -> Any:
        """A squeeze-and-excitation, where one share reduces all of them."""
        if any(step.kind != "squeeze_excite" for step, _ in places):
            return None
        reductions = (16, *range(1, MAX_REDUCTION + 1))
        fits = (
            r for r in reductions if all(max(1, s.ins // r) == s.attrs["inner"] for s, _ in places)
        )
        reduction = next(fits, None)
        gates = [step.branches[1] for step, _ in places]
        acts, kinds = {gate[2].kind for gate in gates}, {gate[4].kind for gate in gates}
        if reduction is None or len(acts) > 1 or len(kinds) > 1:
            return None
        said = {"reduction": reduction, "activation": acts.pop(), "gate": kinds.pop()}
        usual = {"reduction": 16, "activation": "relu", "gate": "sigmoid"}
        return _written(
            "squeeze_excite", {key: said[key] for key in said if said[key] != usual[key]}
        )

    def branches(self, places: Sequence[Place], instances: Sequence[Instance]) -> Any:
        kind = places[0][0].kind
        lists = zip(*(step.branches for step, _ in places), strict=True)
        widths = [step.ins for step, _ in places]
        of = [self.run(list(zip(branch, instances, strict=True)), widths) for branch in lists]
        join = {"squeeze_excite": "multiply"}.get(kind, kind)
        return {"branches": {**({} if join == "concat" else {"join": join}), "of": of}}

    def widths(self, row: Operator, places: Sequence[Place]) -> dict[str, int | str]:
        """The settings of a step that are widths."""
        names = row.step.widths if row.step else ()
        return {name: self.width(places) for name in names}

    def conv_width(self, places: Sequence[Place]) -> dict[str, int | str]:
        """The width of a convolution, unsaid where it gives as many channels as it reads and no growth rate."""
        unsaid = all(step.ins == step.outs != names.get("k") for step, names in places)
        return {} if unsaid else {"width": self.width(places)}

    def width(self, places: Sequence[Place], border: str = "") -> int | str:
        """What a width of all these places, or an attribute that is a border between channels, is called."""
        wanted = [step.attrs[border] if border else step.outs for step, _ in places]
        number: list[int | str] = [wanted[0]] if len({*wanted}) == 1 else []
        order = ("in", "k", "out") if border else ("k", "out", "in")
        called = [] if wanted[0] < 1 else [*_called(wanted, [names for _, names in places], order)]
        exact = [name for name in called if name in ("k", "out")]
        found = next(iter([*exact, *number, *called] if self.numbers else [*called, *number]), None)
        if found is None:
            step = places[-1][0]
            raise Unliftable(
                step.op, f"{step.kind} has {wanted[-1]} channels, by no rule that the others follow"
            )
        return found


def _called(
    wanted: Sequence[int], known: Sequence[Mapping[str, int]], order: Sequence[str]
) -> Iterator[str]:
    """Names, multiples and parts of names that come to these widths."""
    for name in (name for name in order if name in known[0]):
        share = Fraction(wanted[0], known[0][name])
        for text in _texts(share, name):
            if all(
                width_of(text, {**names}) == width
                for width, names in zip(wanted, known, strict=True)
            ):
                yield text


def _texts(share: Fraction, name: str) -> Iterator[str]:
    """A name as it is, `4k`, `k/2`, `1.5k`."""
    if share == 1:
        yield name
    elif share.denominator == 1 and share <= MAX_MULTIPLE:
        yield f"{share.numerator}{name}"
    elif share < 1 and share * MAX_PARTS >= 1:
        yield f"{name}/{int(1 / share)}"
    elif share.denominator in (2, 4, 5, 8, 10) and share <= MAX_MULTIPLE:
        yield f"{float(share):g}{name}"


def _common(places: Sequence[Place], key: str, default: Any) -> Any:
    """The value of an attribute that all have."""
    values = [step.attrs.get(key, default) for step, _ in places]
    for (step, _), value in zip(places, values, strict=True):
        if value != values[0]:
            raise Unliftable(step.op, f"has {key} {value}, others in its place have {values[0]}")
        if isinstance(value, tuple):
            raise Unliftable(step.op, f"{step.kind} has {key} {value}; steps have one number")
    return values[0]


def _without(settings: Mapping[str, Any], usual: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value for key, value in settings.items() if key not in usual or value != usual[key]
    }


def _written(kind: str, settings: Mapping[str, Any]) -> Any:
    return {kind: dict(settings)} if settings else kind


def _conv(made: _Listed, places: Sequence[Place]) -> Any:
    said = {
        key: _common(places, key, usual)
        for key, usual in (("kernel", 1), ("stride", 1), ("padding", 0))
    }
    dilation = _common(places, "dilation", 1)
    depthwise = all(step.is_depthwise for step, _ in places)
    groups = "depthwise" if depthwise else _common(places, "groups", 1)
    width = {} if depthwise else made.conv_width(places)
    said |= {"dilation": dilation, "groups": groups, "bias": _common(places, "bias", False)}
    said |= _standardized(places)
    usual = {"stride": 1, "dilation": 1, "groups": 1, "bias": False}
    return {
        "conv": {
            **width,
            **_without(said, {**usual, "padding": same_padding(said["kernel"], dilation)}),
        }
    }


def _standardized(places: Sequence[Place]) -> dict[str, Any]:
    """What is said of convolutions whose filters are standardized; nothing of others."""
    if not _common(places, "standardized", False):
        return {}
    eps = short_float(_common(places, "weight_eps", None))
    return (
        {"standardized": True} if eps == WEIGHT_EPS else {"standardized": True, "weight_eps": eps}
    )


def _conv_transpose(made: _Listed, places: Sequence[Place]) -> Any:
    said = {
        key: _common(places, key, usual)
        for key, usual in (("kernel", 1), ("stride", 1), ("padding", 0))
    }
    said["bias"] = _common(places, "bias", False)
    return {
        "conv_transpose": {
            **made.conv_width(places),
            **_without(said, {"padding": 0, "bias": False}),
        }
    }


def _norm(made: _Listed, places: Sequence[Place]) -> Any:
    kind, groups = _common(places, "", places[0][0].kind), _common(places, "groups", None)
    eps = [step.attrs["eps"] for step, _ in places if step.attrs["eps"] is not None]
    if any(not same(eps[0], other) for other in eps):
        raise Unliftable(places[0][0].op, "has another eps than others in its place")
    said = {
        "kind": norm_name(kind),
        "eps": short_float(eps[0]) if eps else made.style.norm.eps,
        "groups": groups,
    }
    usual = made.style.norm.model_dump() if made.style.norm.kind == said["kind"] else {}
    if all(value is None or usual.get(key) == value for key, value in said.items()):
        return "norm"
    settings = _without(said, {"eps": 1e-5, "groups": None})
    return {"norm": settings["kind"] if [*settings] == ["kind"] else settings}


def _activation(made: _Listed, places: Sequence[Place]) -> Any:
    kind, usual = places[0][0].kind, made.style.activation
    told = dict[str, float]()
    for step, _ in places:
        for key, value in told_settings(step):
            if value != told.setdefault(key, value):
                raise Unliftable(places[0][0].op, f"has another {key} than others in its place")
    if kind == usual.kind and {**usual.own_settings, **told} == usual.own_settings:
        return "activation"
    settings = _without(told, OPERATORS[kind].settings)
    return {"activation": {"kind": kind, **settings} if settings else kind}


def _slice(made: _Listed, places: Sequence[Place]) -> Any:
    made = _Listed(made.style, numbers=False)
    border = {key: made.width(places, key) for key in ("start", "stop")}
    return _written("slice", _without(border, {"start": 0, "stop": "in"}))


def _operator(made: _Listed, places: Sequence[Place]) -> Any:
    """A step that is one operator, as its row says; what is said by default is left out."""
    row = OPERATORS[places[0][0].kind]
    step = row.step
    if step is None:
        raise Unliftable(places[0][0].op, f"is a {row.kind}, which no step says")
    said = {
        setting: _common(places, attribute, row.defaults.get(attribute))
        for setting, attribute in step.said.items()
    }
    named = {kind: name for name, kind in step.kinds.items()}
    said |= {"kind": named[row.kind]} if named else {}
    fields = step.settings.model_fields
    usual = {name: field.default for name, field in fields.items() if not field.is_required()}
    told = {setting: value for setting, value in said.items() if value is not None}
    return _written(step.name, _without({**made.widths(row, places), **told}, usual))


_SETTINGS: Mapping[str, Callable[[_Listed, Sequence[Place]], Any]] = {
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "slice": _slice,
    **dict.fromkeys(NORMS, _norm),
    **dict.fromkeys(ACTIVATIONS, _activation),
}
"""Steps whose settings do not follow from the row alone."""
