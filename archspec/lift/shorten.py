"""The long form of a spec made short: what all blocks say is said once, and what means the same unsaid is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from archspec.connectivity_rules import gathered
from archspec.graph.expand import Part, Piece, expand
from archspec.operators.activations import ActivationSettings
from archspec.spec.load import validate
from archspec.spec.model import Block, Spec
from archspec.spec.parts import AggregateSpec, TransitionSpec
from archspec.spec.reading.document import Document
from archspec.spec.templates import steps_of

Values = dict[str, Any]
Path = tuple[str | int, ...]

ORDER = (
    *(
        "name",
        "input",
        "norm",
        "activation",
        "stem",
        "growth_rate",
        "growth_multiplier",
        "layer",
        "bottleneck",
    ),
    *(
        "connectivity",
        "block_config",
        "blocks",
        "compression",
        "transition",
        "transitions",
        "head",
        "features",
    ),
)
_SAID_ONCE = ("growth_rate", "growth_multiplier", "layer", "bottleneck", "connectivity")
_ALONE: Mapping[str, str] = {
    **dict.fromkeys(("stem", "transition", "head"), "steps"),
    **dict.fromkeys(("norm", "activation"), "kind"),
    "connectivity": "rule",
    "aggregate": "",
}
"""The setting that is written alone where nothing else is said: `head: pooled`."""
_SETTINGS = (
    *(
        "kind",
        "rule",
        "window",
        "edges",
        "share",
        "bypass",
        "output",
        "compression",
        "channels",
        "height",
        "width",
    ),
    *(
        "steps",
        "kernel",
        "stride",
        "norm",
        "pool",
        "skip",
        "crop",
        "join",
        "order",
        "output_order",
        "after",
        "num_classes",
        "eps",
        "groups",
    ),
    *(key for key in ActivationSettings.model_fields if key != "kind"),
)
"""In this order."""


def shortened(values: Values) -> Values:
    """Return values that mean the same network, said in as few keys as the language needs.

    Raises:
        SpecError: the values are no spec.
    """
    values = _said_once(values)
    wanted = meaning(validate(Spec, Document(values)))
    paths = [path for path in _paths(values) if path != ("name",)]
    for_all_last = sorted(paths, key=lambda path: path[0] == "transition")
    shorts = [_short_forms(_pruned(values, each, wanted)) for each in (for_all_last, paths)]
    return min(shorts, key=lambda short: len(str(short)))


def _pruned(values: Values, paths: Sequence[Path], wanted: tuple[Any, ...]) -> Values:
    for path in paths:
        less = _without(values, path)
        if less is not None and _means(less, wanted):
            values = less
    return values


def meaning(spec: Spec) -> tuple[Any, ...]:
    """Return what a spec says of the network: equal for two specs of one network that are written differently."""
    growth = {} if spec.growth_rate is None else {"k": spec.growth_rate}
    out = spec.stem.channels or 2 * growth.get("k", 0)
    stem = _pieces(spec, spec.stem.listed(), spec.input.channels, {**growth, "out": out})
    blocks = tuple(_meant(spec, block) for block in spec.dense_blocks())
    transitions = tuple(
        (*_wide(spec, each), _skipped(spec, each)) for each in spec.transitions_in_order()
    )
    head = _pieces(spec, spec.head.listed(), 1, {"out": spec.head.num_classes})
    return spec.input, stem, blocks, transitions, (head, spec.head.num_classes), spec.features


def _meant(spec: Spec, block: Block) -> tuple[Any, ...]:
    known = {
        "k": block.growth_rate,
        "out": block.growth_rate,
        "bottleneck": block.bottleneck * block.growth_rate,
    }
    wiring, ends = block.connectivity, block.aggregate
    connections = (
        wiring.kind,
        wiring.window,
        wiring.edges,
        wiring.share,
        wiring.bypass == "last",
        wiring.is_newest_first,
        gathered(wiring, len(block.widths)),
    )
    aggregate = ends and _wide(spec, ends)
    layers = {
        number: _pieces(spec, steps, 1, known)
        for number, steps in {0: block.steps, **block.steps_at}.items()
    }
    return block.widths, connections, aggregate, block.residual, layers


def _wide(spec: Spec, part: AggregateSpec | TransitionSpec) -> tuple[Any, ...]:
    listed = part.listed()
    return listed, _pieces(spec, listed, 1, {"out": 1}), part.channels, part.compression


def _skipped(spec: Spec, part: TransitionSpec) -> tuple[Any, ...]:
    after = steps_of("transitions", part.after or "none")
    return part.skip, part.crop, part.join, part.order, after, _pieces(spec, after, 1, {"out": 1})


def _pieces(spec: Spec, steps: Any, channels: int, widths: Mapping[str, int]) -> tuple[Piece, ...]:
    return expand(Part(steps, channels, tuple(widths.items()), spec.norm, spec.activation))


def _means(values: Values, wanted: tuple[Any, ...]) -> bool:
    try:
        return meaning(Spec.model_validate(values)) == wanted
    except ValidationError:
        return False


def _said_once(values: Values) -> Values:
    """What most of the blocks, or of the transitions, say is said for all."""
    once = {key: _usual(values["blocks"], key) for key in _SAID_ONCE}
    steps, pool = _usual(values["transitions"], "steps"), None
    pool = _usual([each for each in values["transitions"] if each["steps"] == steps], "pool")
    all_of_them = {
        key: value for key, value in (("steps", steps), ("pool", pool)) if value is not None
    }
    once |= {"transition": all_of_them} if all_of_them else {}
    return {**values, **{key: value for key, value in once.items() if value is not None}}


def _usual(entries: Sequence[Values], key: str) -> Any:
    """What most of those that say it say; a growth rate that is not most blocks' own is each block's."""
    said = [entry[key] for entry in entries if key in entry]
    if not said:
        return None
    texts = Counter(map(str, said))
    text, count = texts.most_common(1)[0]
    if key == "growth_rate" and (2 * count <= len(said) or text.startswith("[")):
        return None
    return next(value for value in said if str(value) == text)


def _paths(values: Any, path: Path = ()) -> Iterator[Path]:
    """Keys, those that hold others before these, and entries of lists of mappings."""
    entries = values.items() if isinstance(values, dict) else enumerate(values)
    for key, value in entries:
        here = (*path, key)
        if isinstance(key, str):
            yield here
        if key != "steps" and (isinstance(value, dict) or key in ("blocks", "transitions")):
            yield from _paths(value, here)


def _without(values: Any, path: Path) -> Any:
    """The values without a key; None where it is gone already."""
    key, *rest = path
    there = key in values if isinstance(values, dict) else True
    if not there:
        return None
    if rest:
        inner = _without(values[key], tuple(rest))
        return None if inner is None else _with(values, key, inner)
    return {k: v for k, v in values.items() if k != key}


def _with(values: Any, key: Any, value: Any) -> Any:
    if isinstance(values, dict):
        return {**values, key: value}
    return [value if index == key else item for index, item in enumerate(values)]


def _short_forms(values: Values) -> Values:
    blocks = values["blocks"]
    if all([*block] == ["layers"] for block in blocks):
        values = {**values, "block_config": [block["layers"] for block in blocks]}
        del values["blocks"]
    shared: dict[str, Any] = {}
    return {key: _shared(_short(key, values[key]), shared) for key in ORDER if key in values}


def _shared(value: Any, known: dict[str, Any]) -> Any:
    """Lists of several steps that are equal as one object, which YAML writes once and names."""
    if isinstance(value, dict):
        return {key: _shared(inner, known) for key, inner in value.items()}
    if not isinstance(value, list):
        return value
    value = [_shared(item, known) for item in value]
    return (
        known.setdefault(str(value), value)
        if any(isinstance(item, dict) for item in value)
        else value
    )


def _short(key: str, value: Any) -> Any:
    if key == "transitions":
        return [_short("transition", entry) for entry in value]
    if key == "blocks":
        return [{name: _short(name, setting) for name, setting in entry.items()} for entry in value]
    if not isinstance(value, dict) or key == "layer_at":
        return value
    if [*value] == [_ALONE.get(key)]:
        return value[_ALONE[key]]
    return {name: value[name] for name in sorted(value, key=_SETTINGS.index)}
