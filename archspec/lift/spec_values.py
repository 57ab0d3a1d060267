"""Stages as the values of a spec in its long form, every key said; `short` leaves out what needs no saying."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from pydantic import ValidationError

from archspec.lift.block_rule import wirings_of
from archspec.lift.blocks import Block
from archspec.lift.layers import growths_of, layers_of
from archspec.lift.matching_steps import Instance, Style, comes_to, style_of
from archspec.lift.network import Unliftable
from archspec.lift.operators_to_steps import Step, flat
from archspec.lift.step_lists import listed
from archspec.lift.structure import Stages
from archspec.lift.transitions import POOLS, forms_of
from archspec.operators.table import GLOBAL_POOLS, OPERATORS
from archspec.spec.parts import HeadSpec, StemSpec
from archspec.spec.templates import templates

Values = dict[str, Any]

NOTHING: Mapping[str, Any] = {"steps": ["dropout"]}
"""A stem without operators: dropout with a rate of 0 is none."""


def values_of(stages: Stages, name: str) -> Values:
    """Return the values of a spec that says these stages.

    Raises:
        Unliftable: steps that the language does not have, or layers of a block that are not alike.
    """
    form = _Form(stages, style_of([step for steps in _all(stages) for step in flat(steps)]))
    last, head = form.end()
    runs = [*stages.between[:-1], *([last] if last else [])]
    transitions, compression = form.transitions(runs)
    return {
        "name": name,
        "input": dict(zip(("channels", "height", "width"), stages.image, strict=True)),
        "norm": form.style.norm.model_dump(exclude={"momentum"}),
        "activation": form.style.activation.model_dump(mode="json"),
        "stem": form.stem(),
        "blocks": form.blocks(),
        **compression,
        "transitions": transitions,
        "head": head,
        "features": [*stages.features],
    }


def _all(stages: Stages) -> Iterator[tuple[Step, ...]]:
    yield from (stages.stem, *stages.between)
    for block in stages.blocks:
        yield from (block.aggregate, *(layer.steps for layer in block.layers))


@dataclass(frozen=True)
class _Form:
    stages: Stages
    style: Style

    def stem(self) -> Values:
        """A convolution as the language has it, a template, or a list."""
        steps, ins, outs = self.stages.stem, self.stages.image[0], self.stages.blocks[0].ins
        for values in _stems(steps[0]) if steps else ():
            if self.says(StemSpec, values, Instance(steps, ins, {"out": outs})):
                return {"channels": outs, **values}
        return (
            {"steps": listed([Instance(steps, ins, {})], self.style, numbers=True)}
            if steps
            else {**NOTHING}
        )

    def says(self, model: Any, values: Values, instance: Instance) -> bool:
        try:
            part = model.model_validate(values)
        except ValidationError:
            return False
        return comes_to(part.listed(), [instance], self.style)

    def blocks(self) -> list[Values]:
        """Each block with all that it says."""
        blocks = self.stages.blocks
        columns = growths_of(blocks), layers_of(blocks, self.style), self.aggregates(blocks)
        found = []
        for block, wiring, *others in zip(blocks, wirings_of(blocks), *columns, strict=True):
            said = {key: value for other in others for key, value in other.items()}
            residual = {"residual": True} if block.residual else {}
            found.append({"layers": len(block.layers), **said, "connectivity": wiring, **residual})
        return found

    def aggregates(self, blocks: Sequence[Block]) -> list[Values]:
        numbers = [number for number, block in enumerate(blocks) if block.aggregate]
        parts = [_part(blocks[number].aggregate, blocks[number].joined) for number in numbers]
        forms, theta = forms_of(parts, self.style, pools=("none",))
        own = {} if theta is None else {"compression": theta}
        said = {number: {**form, **own} for number, form in zip(numbers, forms, strict=True)}
        for form in said.values():
            form.pop("pool", None)
        return [
            {"aggregate": said[number]} if number in said else {} for number in range(len(blocks))
        ]

    def transitions(self, runs: Sequence[tuple[Step, ...]]) -> tuple[list[Values], Values]:
        """What stands between the blocks, and the share that all of them keep."""
        cut = [_at_a_skip(steps) for steps in runs]
        parts = [
            _part(steps, block.outs)
            for (steps, _), block in zip(cut, self.stages.blocks, strict=False)
        ]
        forms, theta = forms_of(parts, self.style)
        said = [{**form, **self.skip(rest)} for form, (_, rest) in zip(forms, cut, strict=True)]
        return said, {} if theta is None else {"compression": theta}

    def skip(self, steps: Sequence[Step]) -> Values:
        """What a transition says of an earlier block's output that it joins."""
        if not steps:
            return {}
        crop = steps[0].kind == "crop"
        join, *after = steps[crop:]
        numbers: dict[str, int | str] = {self.stages.entry: "stem"}
        numbers |= {block.op: number for number, block in enumerate(self.stages.blocks, start=1)}
        if join.attrs["skip"] not in numbers:
            raise Unliftable(join.op, f"joins {join.attrs['skip']}, which is no block's output")
        behind = (
            {"after": listed([Instance(tuple(after), join.outs, {})], self.style)} if after else {}
        )
        return {
            "skip": numbers[join.attrs["skip"]],
            "crop": crop,
            "join": join.attrs["join"],
            "order": join.attrs["order"],
            **behind,
        }

    def end(self) -> tuple[tuple[Step, ...], Values]:
        """What stands behind the last block, as a transition and a head."""
        tail = self.stages.between[-1]
        if not tail:
            return (), {"steps": "none"}
        classes = tail[-1].outs
        for cut, name in product((0, *range(len(tail) - 1, 0, -1)), templates("heads")):
            instance = Instance(tail[cut:], tail[cut].ins, {"out": classes})
            if _stands_alone(tail[:cut]) and self.says(HeadSpec, {"steps": name}, instance):
                return tail[:cut], {"steps": name, "num_classes": classes}
        cut = (
            0 if self.stages.features else _border(tail)
        )  # without a head, a network ends with its last feature
        if cut == len(tail):
            return tail, {"steps": "none"}
        steps = listed([_part(tail[cut:], tail[cut].ins)], self.style, numbers=True)
        return tail[:cut], {"steps": steps, "num_classes": classes}


def _at_a_skip(steps: tuple[Step, ...]) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """A transition's steps, and what begins with the crop or the join of a skip."""
    kinds = [step.kind for step in steps]
    start = kinds.index("skip") if "skip" in kinds else len(steps)
    start -= "skip" in kinds and start > 0 and kinds[start - 1] == "crop"
    return steps[:start], steps[start:]


def _part(steps: tuple[Step, ...], ins: int) -> Instance:
    return Instance(steps, ins, {"out": steps[-1].outs if steps else ins})


def _stems(first: Step) -> Iterator[Values]:
    """What a stem that begins so may say."""
    for pool, norm in product(POOLS, (True, False)):
        yield {
            "kernel": first.attrs.get("kernel"),
            "stride": first.attrs.get("stride"),
            "norm": norm,
            "pool": pool,
        }
    for pool, name in product(POOLS, templates("stems")):
        yield {"steps": name, "pool": pool}


def _stands_alone(steps: Sequence[Step]) -> bool:
    """They are a transition before the head, or nothing: a norm and an activation are the head's own."""
    return not steps or any(step.kind == "conv" for step in steps)


def _border(tail: Sequence[Step]) -> int:
    """Where a head of its own begins: at its mean over the pixels, or where nothing before it makes new maps."""
    kinds = [step.kind for step in tail]
    pools = (place for place, kind in enumerate(kinds) if kind in GLOBAL_POOLS)
    start = next(pools, None)
    start = _per_pixel(tail) if start is None else start
    return start if "conv" in kinds[:start] else 0


def _per_pixel(tail: Sequence[Step]) -> int:
    """Where classes of each pixel begin: a last convolution with a bias, and what enlarges its result."""
    start = len(tail)
    while start and OPERATORS[tail[start - 1].kind].enlarges:
        start -= 1
    last = tail[start - 1]
    return start - 1 if last.kind == "conv" and last.attrs.get("bias") else len(tail)
