"""Random changes of networks that are lists of steps, whatever they are written in;
and joins in another order.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from readers import mindspore_styles, onnx_styles
from readers.onnx_styles import Array, Step

from archspec.compare.compare import Comparison
from archspec.errors import ModelFileError
from archspec.operators.table import ACTIVATIONS, OPERATORS

Steps = Sequence[Step]
Mutation = Callable[[Steps, random.Random], list[Step]]
Order = Mapping[str, tuple[int, ...]]

WRITTEN = mindspore_styles.ACTIVATIONS.keys() & onnx_styles.ACTIVATIONS.keys()
OTHER_ACTIVATIONS = sorted({*ACTIVATIONS} & WRITTEN - {"relu", "prelu"})
"""That have no weights, and that networks of both formats may have."""


def replaced(steps: Steps, name: str, *by: Step) -> list[Step]:
    return [made for step in steps for made in (by if step.name == name else (step,))]


def redirected(steps: Steps, old: str, new: str) -> list[Step]:
    return [
        step._replace(inputs=tuple(new if source == old else source for source in step.inputs))
        for step in steps
    ]


def setting(steps: Steps, rng: random.Random) -> list[Step]:
    """Another number: of kernel, stride, padding, dilation, groups, channels, or eps; a bias."""
    step = rng.choice(
        [step for step in steps if step.attrs and step.kind not in ("input", *ACTIVATIONS)]
    )
    key = rng.choice(
        [*step.attrs, *(["dilation", "groups", "bias"] if step.kind == "conv" else [])]
    )
    value = {"eps": 0.1, "dilation": 2, "groups": 2, "bias": True}.get(key) or step.attrs[
        key
    ] + rng.choice([-1, 1, 2])
    return replaced(steps, step.name, step._replace(attrs={**step.attrs, key: value}))


def kind(steps: Steps, rng: random.Random) -> list[Step]:
    """Another activation, another pool."""
    step = rng.choice([step for step in steps if step.kind in ("relu", "max_pool", "avg_pool")])
    others = {"max_pool": ["avg_pool"], "avg_pool": ["max_pool"]}
    other = rng.choice(others.get(step.kind, OTHER_ACTIVATIONS))
    attrs = {**step.attrs, **OPERATORS[other].settings}
    return replaced(steps, step.name, step._replace(kind=other, attrs=attrs))


def wiring(steps: Steps, rng: random.Random) -> list[Step]:
    """An input from elsewhere."""
    step = rng.choice(steps[2:])
    at = rng.randrange(len(step.inputs))
    before = [other.name for other in steps[: steps.index(step)] if other.name not in step.inputs]
    inputs = (*step.inputs[:at], rng.choice(before), *step.inputs[at + 1 :])
    return replaced(steps, step.name, step._replace(inputs=inputs))


def fewer(steps: Steps, rng: random.Random) -> list[Step]:
    """A connection lost."""
    step = rng.choice([step for step in steps if step.kind == "concat"])
    at = rng.randrange(len(step.inputs))
    return replaced(
        steps, step.name, step._replace(inputs=step.inputs[:at] + step.inputs[at + 1 :])
    )


def more(steps: Steps, rng: random.Random) -> list[Step]:
    """A connection too many, or twice the same."""
    step = rng.choice([step for step in steps if step.kind == "concat"])
    added = rng.choice([other.name for other in steps[1 : steps.index(step)]])
    return replaced(steps, step.name, step._replace(inputs=(*step.inputs, added)))


def gone(steps: Steps, rng: random.Random) -> list[Step]:
    """A step left out; of a join, all but the first."""
    step = rng.choice(steps[1:-2])
    return redirected(replaced(steps, step.name), step.name, step.inputs[0])


def inserted(steps: Steps, rng: random.Random) -> list[Step]:
    """A step too many, behind another one."""
    step = rng.choice(steps[1:-2])
    conv = {"out_channels": 8, "kernel": 3, "stride": 1, "padding": 1}
    pool = {"kernel": 3, "stride": 1, "padding": 1}
    what, attrs = rng.choice(
        [("conv", conv), ("avg_pool", pool), ("max_pool", pool), ("relu", {}), ("silu", {})]
    )
    new = Step("added", what, (step.name,), attrs)
    at = steps.index(step) + 1
    return [*steps[:at], new, *redirected(steps[at:], step.name, "added")]


def refiltered(steps: Steps, rng: random.Random) -> list[Step]:
    """A convolution with standardized filters, or with plain ones where they are standardized."""
    step = rng.choice([step for step in steps if step.kind == "conv"])
    is_plain = not step.attrs.get("standardized")
    attrs = {**step.attrs, "standardized": is_plain, "weight_eps": 1e-6}
    return replaced(steps, step.name, step._replace(attrs=attrs))


MUTATIONS: Sequence[Mutation] = (setting, kind, wiring, fewer, more, gone, inserted)


def is_found(comparison: Callable[[], Comparison]) -> bool:
    """Different, with a line for each fault, or refused by an operator's name."""
    try:
        compared = comparison()
    except ModelFileError as refused:
        return all(fault.code in ("R007", "R008") for fault in refused.diagnostics)
    return not compared.is_equal and all(difference.message for difference in compared.differences)


def alike(made: Array, right: Array) -> bool:
    """The same outputs to a rounding."""
    return made.shape == right.shape and np.allclose(made, right, rtol=1e-4, atol=1e-5)


def random_order(steps: Steps, rng: random.Random) -> Order:
    """For each join, where each of its inputs stood before."""
    return {
        step.name: tuple(rng.sample(range(len(step.inputs)), len(step.inputs))) for step in steps
    }


def permuted(
    steps: Steps, order: Order, weights: Mapping[str, Array], move: bool
) -> tuple[list[Step], dict[str, Array]]:
    """The network with its joins in another order, and, to keep the function,
    the weights behind them moved.
    """
    made = [
        step._replace(inputs=tuple(step.inputs[at] for at in order[step.name]))
        if step.kind == "concat"
        else step
        for step in steps
    ]
    return made, {**weights, **(dict(_moved(made, weights, order)) if move else {})}


def _moved(
    steps: Iterable[Step], weights: Mapping[str, Array], order: Order
) -> Iterator[tuple[str, Array]]:
    """Follow where each channel of a value was before,
    and give the weights that read it in the new order.
    """
    places: dict[str, Array] = {}
    for step in steps:
        sources = [places[name] for name in step.inputs]
        if step.kind == "concat":
            places[step.name] = _joined(sources, order[step.name])
        elif step.kind in ("input", "conv", "dense"):
            width = step.attrs["shape"][0] if step.kind == "input" else step.attrs["out_channels"]
            places[step.name] = np.arange(width)
            if step.kind != "input":
                yield f"{step.name}.weight", weights[f"{step.name}.weight"][:, sources[0]]
        else:
            places[step.name] = sources[0]
            if step.kind == "batch_norm":
                for role in ("gamma", "beta", "moving_mean", "moving_variance"):
                    yield f"{step.name}.{role}", weights[f"{step.name}.{role}"][sources[0]]


def _joined(sources: Sequence[Array], order: Sequence[int]) -> Array:
    begins, total = {}, 0
    for at in sorted(range(len(sources)), key=order.__getitem__):
        begins[at], total = total, total + len(sources[at])
    return np.concatenate([begins[at] + source for at, source in enumerate(sources)])
