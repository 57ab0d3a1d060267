"""Settings that no part of a spec's network has a use for: who writes one expects what is not done.

A child, or `--set`, may leave a setting of its parent's without a use. Only what stands beside its
cause is refused: what was typed, and what the file itself says where nothing was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from archspec.errors import Diagnostic
from archspec.operators.table import STEPS
from archspec.settings import Path, SpecModel
from archspec.spec.block import BlockSpec
from archspec.spec.faulty_steps import walk_steps
from archspec.spec.reading.document import format_path, shorten_value
from archspec.spec.spec import Block, Spec
from archspec.spec.steps import StepSpec, find_named_widths
from archspec.spec.transition import TransitionSpec

TYPED = ("command line", "python")

_OFF = {"drop_rate": 0.0, "growth_multiplier": 1.0}
"""Values that turn a setting off, which may stand where it has no use."""

_NO_WIDTH = "no layer has a width of it"
_NO_DROPOUT = "no dropout without a rate of its own stands in {}"
_NO_MULTIPLE = "no layer behind the first has a growth that is not listed"
_NO_TRANSITION = "one block has no transition behind it"


def find_idle_settings(spec: Spec) -> Iterator[Diagnostic]:
    """Yield an S006 for each setting that is written beside what leaves it without a use."""
    written = spec.written()
    is_changed = any(place.origin in TYPED for place in written.values())
    for path, value, rule in _find_idle(spec):
        place = written.get(path)
        if place is None:
            continue
        is_own = place.origin in TYPED if is_changed else place.source == written[()].source
        if is_own:
            words = f"{format_path(path)} (={shorten_value(value)}) does nothing: {rule}"
            yield Diagnostic("S006", words, str(place), "leave it out")


def without_idle_settings(spec: Spec) -> dict[str, Any]:
    """Return a spec's plain values without those that do nothing, so that it reads back."""
    values = spec.resolved()
    for path, _, _ in _find_idle(spec):
        *above, key = path
        holder: Any = values
        for part in above:
            holder = holder[part]
        holder.pop(key)
    return values


def _find_idle(spec: Spec) -> Iterator[tuple[Path, Any, str]]:
    """Each setting without a use, its value, and why; defaults, and rates of 0, may stand."""
    blocks = list(zip(spec.blocks, spec.dense_blocks(), strict=True))
    yield from _find_idle_of_layers(spec, blocks, "bottleneck", _has_bottleneck, _NO_WIDTH)
    multiple = "growth_multiplier"
    yield from _find_idle_of_layers(spec, blocks, multiple, _has_multiples, _NO_MULTIPLE)
    if spec.drop_after == "layer":
        rule = _NO_DROPOUT.format("a layer")
        yield from _find_idle_of_layers(spec, blocks, "drop_rate", _has_open_dropout, rule)
    if not spec.transitions_in_order():
        yield from _find_settings_of_transitions(spec)
    steps = (step for _, step in walk_steps(spec.head.steps_resolved()))
    if spec.head.dropout and not any(map(_is_open_dropout, steps)):
        yield ("head", "dropout"), spec.head.dropout, _NO_DROPOUT.format("the head")


def _find_settings_of_transitions(spec: Spec) -> Iterator[tuple[Path, Any, str]]:
    """What is said of transitions, though the network has none."""
    if _is_said(spec, "compression"):
        yield ("compression",), spec.compression, _NO_TRANSITION
    for key in TransitionSpec.model_fields:
        if _is_said(spec.transition, key):
            yield ("transition", key), getattr(spec.transition, key), _NO_TRANSITION


def _find_idle_of_layers(
    spec: Spec,
    blocks: Sequence[tuple[BlockSpec, Block]],
    key: str,
    has_use: Callable[[BlockSpec, Block], bool],
    rule: str,
) -> Iterator[tuple[Path, Any, str]]:
    """A setting of all blocks that no block without its own uses, and those of single blocks."""
    is_used = False
    for index, (written, block) in enumerate(blocks):
        value = getattr(written, key)
        if has_use(written, block):
            is_used = is_used or value is None
        elif value not in (None, _OFF.get(key)):
            yield ("blocks", index, key), value, rule
    if not is_used and _is_said(spec, key) and getattr(spec, key) != _OFF.get(key):
        yield (key,), getattr(spec, key), rule


def _has_bottleneck(written: BlockSpec, block: Block) -> bool:
    return any("bottleneck" in find_named_widths(step) for step in _steps_of(block))


def _has_multiples(written: BlockSpec, block: Block) -> bool:
    return written.layers > 1 and not isinstance(written.growth_rate, tuple)


def _has_open_dropout(written: BlockSpec, block: Block) -> bool:
    return any(map(_is_open_dropout, _steps_of(block)))


def _steps_of(block: Block) -> Iterator[StepSpec]:
    for steps in (block.steps, *block.steps_at.values()):
        yield from (step for _, step in walk_steps(steps))


def _is_open_dropout(step: StepSpec) -> bool:
    row = STEPS.get(step.kind)
    return bool(row and row.is_of_training and step.settings.rate is None)


def _is_said(part: SpecModel, key: str) -> bool:
    # Compared with the default, not asked whether it was set: a resolved spec sets all.
    return bool(getattr(part, key) != type(part).model_fields[key].default)
