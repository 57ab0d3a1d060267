"""Stages as the values of a spec in its long form, every key said;
`short` leaves out what needs no saying.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, product
from typing import Any

from pydantic import ValidationError

from archspec.lift.block_rule import find_wirings
from archspec.lift.layers import describe_growth_rates, describe_layers
from archspec.lift.lifted_block import LiftedBlock
from archspec.lift.matching_steps import PartInstance, Style, choose_style, matches_steps
from archspec.lift.network import Unliftable
from archspec.lift.operators_to_steps import Step, walk_steps
from archspec.lift.step_lists import write_steps
from archspec.lift.structure import Stages
from archspec.lift.transitions import POOLS, describe_parts
from archspec.operators.table import GLOBAL_POOLS, IN_TRAINING
from archspec.spec.head import HeadSpec
from archspec.spec.stem import StemSpec
from archspec.spec.templates import load_templates

Values = dict[str, Any]

NO_STEM: Mapping[str, Any] = {"steps": ["dropout"]}
"""A stem without operators: dropout with a rate of 0 is none."""


def make_spec_values(stages: Stages, name: str) -> Values:
    """Return the values of a spec that says these stages.

    Raises:
        Unliftable: steps that the language does not have, or layers of a block that are not alike.
    """
    steps = list(chain.from_iterable(map(walk_steps, _walk_parts(stages))))
    form = _SpecWriter(stages, choose_style(steps))
    last, head = form.write_end()
    runs = [*stages.between[:-1], *([last] if last else [])]
    transitions, compression = form.write_transitions(runs)
    return {
        "name": name,
        "input": dict(zip(("channels", "height", "width"), stages.image, strict=True)),
        "norm": form.style.norm.model_dump(exclude=set(IN_TRAINING)),
        "activation": form.style.activation.model_dump(mode="json"),
        "stem": form.write_stem(),
        "blocks": form.write_blocks(),
        **compression,
        "transitions": transitions,
        "head": head,
        "features": [*stages.features],
    }


def _walk_parts(stages: Stages) -> Iterator[tuple[Step, ...]]:
    yield from (stages.stem, *stages.between)
    for block in stages.blocks:
        yield from (block.aggregate, *(layer.steps for layer in block.layers))


@dataclass(frozen=True)
class _SpecWriter:
    stages: Stages
    style: Style

    def write_stem(self) -> Values:
        """A convolution as the language has it, a template, or a list."""
        steps, channels = self.stages.stem, self.stages.image[0]
        if not steps:
            return {**NO_STEM}
        out = self.stages.blocks[0].in_channels
        instance = PartInstance(steps, channels, {"out": out})
        for values in _list_stems(steps[0]):
            if self.is_said_by(StemSpec, values, instance):
                return {"channels": out, **values}
        # In a list widths are numbers: `out` would have to be said beside it.
        listed = write_steps([PartInstance(steps, channels, {})], self.style, numbers=True)
        return {"steps": listed}

    def is_said_by(self, model: Any, values: Values, instance: PartInstance) -> bool:
        try:
            part = model.model_validate(values)
        except ValidationError:
            return False
        return matches_steps(part.steps_resolved(), [instance], self.style)

    def write_blocks(self) -> list[Values]:
        """Each block with all that it says."""
        blocks = self.stages.blocks
        # Of all blocks at once: what several have in common is said in the same way.
        growths = describe_growth_rates(blocks)
        layers = describe_layers(blocks, self.style)
        aggregates = self.write_aggregates(blocks)
        wirings = find_wirings(blocks)
        written = []
        for number, block in enumerate(blocks):
            values = {
                "layers": len(block.layers),
                **growths[number],
                **layers[number],
                **aggregates[number],
                "connectivity": wirings[number],
            }
            if block.residual:
                values["residual"] = True
            written.append(values)
        return written

    def write_aggregates(self, blocks: Sequence[LiftedBlock]) -> list[Values]:
        numbers, parts = list[int](), list[PartInstance]()
        for number, block in enumerate(blocks):
            if block.aggregate:
                numbers.append(number)
                parts.append(_make_instance(block.aggregate, block.joined_channels))
        forms, theta = describe_parts(parts, self.style, pools=("none",))
        own = {} if theta is None else {"compression": theta}
        said: list[Values] = [{} for _ in blocks]
        for number, form in zip(numbers, forms, strict=True):
            form.pop("pool", None)  # of transitions alone
            said[number] = {"aggregate": {**form, **own}}
        return said

    def write_transitions(self, runs: Sequence[tuple[Step, ...]]) -> tuple[list[Values], Values]:
        """What stands between the blocks, and the share that all of them keep."""
        parts, rests = list[PartInstance](), list[tuple[Step, ...]]()
        for run, block in zip(runs, self.stages.blocks, strict=False):
            steps, rest = _split_at_skip(run)
            parts.append(_make_instance(steps, block.out_channels))
            rests.append(rest)
        forms, theta = describe_parts(parts, self.style)
        said = [{**form, **self.write_skip(rest)} for form, rest in zip(forms, rests, strict=True)]
        return said, {} if theta is None else {"compression": theta}

    def write_skip(self, steps: Sequence[Step]) -> Values:
        """What a transition says of an earlier block's output that it joins."""
        if not steps:
            return {}
        crop = steps[0].kind == "crop"
        join, *after = steps[crop:]
        numbers: dict[str, int | str] = {self.stages.entry: "stem"}
        numbers |= {block.op: number for number, block in enumerate(self.stages.blocks, start=1)}
        if join.attrs["skip"] not in numbers:
            raise Unliftable(join.op, f"joins {join.attrs['skip']}, which is no block's output")
        values: Values = {
            "skip": numbers[join.attrs["skip"]],
            "crop": crop,
            "join": join.attrs["join"],
            "order": join.attrs["order"],
        }
        if after:
            behind = PartInstance(tuple(after), join.out_channels, {})
            values["after"] = write_steps([behind], self.style)
        return values

    def write_end(self) -> tuple[tuple[Step, ...], Values]:
        """What stands behind the last block, as a transition and a head."""
        tail = self.stages.between[-1]
        if not tail:
            return (), {"steps": "none"}
        classes = tail[-1].out_channels
        # All of it as a head first, then as short a head as a template has.
        for cut, name in product((0, *range(len(tail) - 1, 0, -1)), load_templates("heads")):
            instance = PartInstance(tail[cut:], tail[cut].in_channels, {"out": classes})
            if _stands_alone(tail[:cut]) and self.is_said_by(HeadSpec, {"steps": name}, instance):
                return tail[:cut], {"steps": name, "num_classes": classes}
        # Without a head a network ends with its last feature: then all of the tail is a head.
        cut = 0 if self.stages.features else _find_head_start(tail)
        if cut == len(tail):
            return tail, {"steps": "none"}
        instance = _make_instance(tail[cut:], tail[cut].in_channels)
        steps = write_steps([instance], self.style, numbers=True)
        return tail[:cut], {"steps": steps, "num_classes": classes}


def _split_at_skip(steps: tuple[Step, ...]) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """A transition's steps, and what begins with the crop or the join of a skip."""
    kinds = [step.kind for step in steps]
    start = kinds.index("skip") if "skip" in kinds else len(steps)
    start -= "skip" in kinds and start > 0 and kinds[start - 1] == "crop"
    return steps[:start], steps[start:]


def _make_instance(steps: tuple[Step, ...], ins: int) -> PartInstance:
    return PartInstance(steps, ins, {"out": steps[-1].out_channels if steps else ins})


def _list_stems(first: Step) -> Iterator[Values]:
    """What a stem that begins so may say."""
    for pool, norm in product(POOLS, (True, False)):
        yield {
            "kernel": first.attrs.get("kernel"),
            "stride": first.attrs.get("stride"),
            "norm": norm,
            "pool": pool,
        }
    for pool, name in product(POOLS, load_templates("stems")):
        yield {"steps": name, "pool": pool}


def _stands_alone(steps: Sequence[Step]) -> bool:
    """They are a transition before the head, or nothing:
    a norm and an activation are the head's own.
    """
    return not steps or any(step.makes_maps for step in steps)


def _find_head_start(tail: Sequence[Step]) -> int:
    """Where a head of its own begins:
    at its mean over the pixels, or where nothing before it makes new maps.
    """
    pools = (place for place, step in enumerate(tail) if _makes_vector(step))
    start = next(pools, None)
    start = _find_pixel_head(tail) if start is None else start
    return start if any(step.makes_maps for step in tail[:start]) else 0


def _makes_vector(step: Step) -> bool:
    """Is it a pool over all pixels, or are there such in branches?

    One that keeps a pixel is a gate's there.
    """
    if not step.branches:
        return step.kind in GLOBAL_POOLS
    inner = walk_steps((step,))
    return any(each.kind in GLOBAL_POOLS and not each.attrs.get("keep") for each in inner)


def _find_pixel_head(tail: Sequence[Step]) -> int:
    """Where classes of each pixel begin:
    a last convolution with a bias, and what enlarges its result.
    """
    start = len(tail)
    while start and tail[start - 1].enlarges:
        start -= 1
    if not start:
        return len(tail)
    last = tail[start - 1]
    return start - 1 if last.makes_maps and last.attrs.get("bias") else len(tail)
