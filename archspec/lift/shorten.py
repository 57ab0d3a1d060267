"""The long form of a spec made short:
what all blocks say is said once, and what means the same unsaid is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from archspec.connectivity_rules import sources_of_output
from archspec.graph.expand import ExpandedOp, Part, expand_part
from archspec.spec.block import AggregateSpec
from archspec.spec.load import validate
from archspec.spec.reading.document import Document
from archspec.spec.spec import Block, Spec
from archspec.spec.steps import ActivationSpec, NormSpec
from archspec.spec.templates import resolve_steps
from archspec.spec.transition import TransitionSpec

Values = dict[str, Any]
Path = tuple[str | int, ...]

KEY_ORDER = (
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
_SAID_ALONE: Mapping[str, str] = {
    **dict.fromkeys(("stem", "transition", "head"), "steps"),
    **dict.fromkeys(("norm", "activation"), "kind"),
    "connectivity": "rule",
    "aggregate": "",
}
"""The setting that is written alone where nothing else is said: `head: pooled`."""
_SETTING_ORDER = (
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
    ),
    *(key for key in (*NormSpec.model_fields, *ActivationSpec.model_fields) if key != "kind"),
)
"""In this order."""


def shorten(values: Values) -> Values:
    """Return values that mean the same network, said in as few keys as the language needs.

    Raises:
        SpecError: the values are no spec.
    """
    values = _say_once(values)
    wanted = describe_meaning(validate(Spec, Document(values)))
    paths = [path for path in _walk_paths(values) if path != ("name",)]
    # Pruning is greedy: of what both `transition` and `transitions` could say, it drops what it
    # meets first. Which text is shorter depends on the network, so both orders are tried.
    for_all_last = sorted(paths, key=lambda path: path[0] == "transition")
    shorts = [_write_short_forms(_prune(values, each, wanted)) for each in (for_all_last, paths)]
    return min(shorts, key=lambda short: len(str(short)))


def _prune(values: Values, paths: Sequence[Path], wanted: tuple[Any, ...]) -> Values:
    for path in paths:
        less = _drop_key(values, path)
        if less is not None and _has_meaning(less, wanted):
            values = less
    return values


def describe_meaning(spec: Spec) -> tuple[Any, ...]:
    """Return what a spec says of the network:
    equal for two specs of one network that are written differently.
    """
    growth = {} if spec.growth_rate is None else {"k": spec.growth_rate}
    out = spec.stem.channels or 2 * growth.get("k", 0)
    stem = _expand_steps(
        spec, spec.stem.steps_resolved(), spec.input.channels, {**growth, "out": out}
    )
    blocks = tuple(_describe_block(spec, block) for block in spec.dense_blocks())
    transitions = tuple(
        (*_describe_part(spec, each), _describe_skip(spec, each))
        for each in spec.transitions_in_order()
    )
    head = _expand_steps(spec, spec.head.steps_resolved(), 1, {"out": spec.head.num_classes})
    return spec.input, stem, blocks, transitions, (head, spec.head.num_classes), spec.features


def _describe_block(spec: Spec, block: Block) -> tuple[Any, ...]:
    growth, wiring = block.growth_rate, block.connectivity
    known = {"k": growth, "out": growth, "bottleneck": block.bottleneck * growth}
    connections = (
        wiring.kind,
        wiring.window,
        wiring.edges,
        wiring.share,
        wiring.bypass == "last",
        wiring.is_newest_first,
        sources_of_output(wiring, len(block.widths)),
    )
    aggregate = block.aggregate and _describe_part(spec, block.aggregate)
    # Layer 0 stands for all that have no steps of their own.
    layers = {0: _expand_steps(spec, block.steps, 1, known)}
    for number, steps in block.steps_at.items():
        layers[number] = _expand_steps(spec, steps, 1, known)
    return block.widths, connections, aggregate, block.residual, layers


def _describe_part(spec: Spec, part: AggregateSpec | TransitionSpec) -> tuple[Any, ...]:
    listed = part.steps_resolved()
    return listed, _expand_steps(spec, listed, 1, {"out": 1}), part.channels, part.compression


def _describe_skip(spec: Spec, part: TransitionSpec) -> tuple[Any, ...]:
    after = resolve_steps("transitions", part.after or "none")
    return (
        part.skip,
        part.crop,
        part.join,
        part.order,
        after,
        _expand_steps(spec, after, 1, {"out": 1}),
    )


def _expand_steps(
    spec: Spec, steps: Any, channels: int, widths: Mapping[str, int]
) -> tuple[ExpandedOp, ...]:
    return expand_part(Part(steps, channels, tuple(widths.items()), spec.norm, spec.activation))


def _has_meaning(values: Values, wanted: tuple[Any, ...]) -> bool:
    try:
        return describe_meaning(Spec.model_validate(values)) == wanted
    except ValidationError:
        return False


def _say_once(values: Values) -> Values:
    """What most of the blocks, or of the transitions, say is said for all."""
    once = {key: _find_usual(values["blocks"], key) for key in _SAID_ONCE}
    steps = _find_usual(values["transitions"], "steps")
    # A pool belongs to its steps: that of other transitions says nothing of these.
    same = [each for each in values["transitions"] if each["steps"] == steps]
    transition = _drop_unsaid({"steps": steps, "pool": _find_usual(same, "pool")})
    if transition:
        once["transition"] = transition
    return {**values, **_drop_unsaid(once)}


def _drop_unsaid(values: Values) -> Values:
    return {key: value for key, value in values.items() if value is not None}


def _find_usual(entries: Sequence[Values], key: str) -> Any:
    """What most of those that say it say;
    a growth rate that is not most blocks' own is each block's.
    """
    said = [entry[key] for entry in entries if key in entry]
    if not said:
        return None
    # By text, as lists and mappings cannot be counted.
    texts = list(map(str, said))
    text, count = Counter(texts).most_common(1)[0]
    # A spec's own growth rate is one number, which its stem may depend on.
    if key == "growth_rate" and (2 * count <= len(said) or text.startswith("[")):
        return None
    return said[texts.index(text)]


def _walk_paths(values: Any, path: Path = ()) -> Iterator[Path]:
    """Keys, those that hold others before these, and entries of lists of mappings."""
    entries = values.items() if isinstance(values, dict) else enumerate(values)
    for key, value in entries:
        here = (*path, key)
        if isinstance(key, str):
            yield here
        if key != "steps" and (isinstance(value, dict) or key in ("blocks", "transitions")):
            yield from _walk_paths(value, here)


def _drop_key(values: Any, path: Path) -> Any:
    """The values without a key; None where it is gone already."""
    key, *rest = path
    there = key in values if isinstance(values, dict) else True
    if not there:
        return None
    if rest:
        inner = _drop_key(values[key], tuple(rest))
        return None if inner is None else _replace_key(values, key, inner)
    return {k: v for k, v in values.items() if k != key}


def _replace_key(values: Any, key: Any, value: Any) -> Any:
    if isinstance(values, dict):
        return {**values, key: value}
    return [*values[:key], value, *values[key + 1 :]]


def _write_short_forms(values: Values) -> Values:
    blocks = values["blocks"]
    if all([*block] == ["layers"] for block in blocks):
        values = {**values, "block_config": [block["layers"] for block in blocks]}
        del values["blocks"]
    shared: dict[str, Any] = {}
    short: Values = {}
    for key in KEY_ORDER:
        if key in values:
            short[key] = _share_lists(_write_short(key, values[key]), shared)
    return short


def _share_lists(value: Any, known: dict[str, Any]) -> Any:
    """Lists of several steps that are equal as one object, which YAML writes once and names."""
    if isinstance(value, dict):
        return {key: _share_lists(inner, known) for key, inner in value.items()}
    if not isinstance(value, list):
        return value
    value = [_share_lists(item, known) for item in value]
    # A list of words or numbers alone is as short as a reference to it.
    is_of_steps = any(isinstance(item, dict) for item in value)
    return known.setdefault(str(value), value) if is_of_steps else value


def _write_short(key: str, value: Any) -> Any:
    if key == "transitions":
        return [_write_short("transition", entry) for entry in value]
    if key == "blocks":
        return [_write_short_block(block) for block in value]
    if not isinstance(value, dict) or key == "layer_at":
        return value
    if [*value] == [_SAID_ALONE.get(key)]:
        return value[_SAID_ALONE[key]]
    return {name: value[name] for name in sorted(value, key=_SETTING_ORDER.index)}


def _write_short_block(block: Values) -> Values:
    return {name: _write_short(name, setting) for name, setting in block.items()}
