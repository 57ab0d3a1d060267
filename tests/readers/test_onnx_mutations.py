"""Random changes of networks in ONNX files: each that ONNX Runtime shows to change the function is found."""

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from readers.onnx_styles import STYLES, Array, Step, Style, densenet, run, written

from archspec.errors import ModelFileError
from archspec.graph.build import build_graph
from archspec.passes.compare import Comparison, compare
from archspec.readers.onnx import read_onnx
from archspec.spec.load import load_spec

SMALL = ["block_config=[2,3]", "growth_rate=4", "input.height=32", "input.width=32", "head.num_classes=10"]
SPEC = build_graph(load_spec("densenet121", SMALL))
STEPS = densenet([2, 3], 4, (3, 32, 32), 10)
CHANGES = 200

Steps = Sequence[Step]
Mutation = Callable[[Steps, random.Random], list[Step]]


def replaced(steps: Steps, name: str, *by: Step) -> list[Step]:
    return [made for step in steps for made in (by if step.name == name else (step,))]


def redirected(steps: Steps, old: str, new: str) -> list[Step]:
    return [step._replace(inputs=tuple(new if source == old else source for source in step.inputs)) for step in steps]


def setting(steps: Steps, rng: random.Random) -> list[Step]:
    """Another number: of kernel, stride, padding, dilation, groups, channels, or eps; a bias."""
    step = rng.choice([step for step in steps if step.attrs and step.kind not in ("input", "leaky_relu")])
    key = rng.choice([*step.attrs, *(["dilation", "groups", "bias"] if step.kind == "conv" else [])])
    value = {"eps": 0.1, "dilation": 2, "groups": 2, "bias": True}.get(key) or step.attrs[key] + rng.choice([-1, 1, 2])
    return replaced(steps, step.name, step._replace(attrs={**step.attrs, key: value}))


def kind(steps: Steps, rng: random.Random) -> list[Step]:
    """Another activation, another pool."""
    step = rng.choice([step for step in steps if step.kind in ("relu", "max_pool", "avg_pool")])
    others = {"max_pool": ["avg_pool"], "avg_pool": ["max_pool"]}
    other = rng.choice(others.get(step.kind, ["relu6", "silu", "gelu", "hard_swish", "leaky_relu", "sigmoid"]))
    attrs = {**step.attrs, "slope": 0.1} if other == "leaky_relu" else step.attrs
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
    return replaced(steps, step.name, step._replace(inputs=step.inputs[:at] + step.inputs[at + 1 :]))


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
    what, attrs = rng.choice([("conv", conv), ("avg_pool", pool), ("max_pool", pool), ("relu", {}), ("silu", {})])
    new = Step("added", what, (step.name,), attrs)
    at = steps.index(step) + 1
    return [*steps[:at], new, *redirected(steps[at:], step.name, "added")]


MUTATIONS: Sequence[Mutation] = (setting, kind, wiring, fewer, more, gone, inserted)


def hidden(steps: Steps, mutant: Steps, style: Style) -> bool:
    """What a style cannot show: a folded norm has no eps, and takes up the bias before it."""
    changed = next((b for a, b in zip(steps, mutant, strict=False) if a != b), None)
    if changed is None or style.norm == "batch_norm" or len(mutant) != len(steps):
        return False
    normed = any(step.kind == "batch_norm" and changed.name in step.inputs for step in mutant)
    return changed.attrs.get("eps") == 0.1 or (bool(changed.attrs.get("bias")) and normed and style.norm == "folded")


def images(style: Style) -> Array:
    batch = style.batch if isinstance(style.batch, int) else 2
    return np.random.default_rng(0).normal(size=(batch, 3, 32, 32)).astype(np.float32)


def mutants(style: Style, seed: int) -> Iterator[tuple[bytes, Array]]:
    """Networks that differ from the spec's in one random place and run, and what they give."""
    rng = random.Random(seed)
    while True:
        try:
            changed = rng.choice(MUTATIONS)(STEPS, rng)
            model = written(changed, style)[0].SerializeToString()
            made = run(model, images(style))
        except Exception:  # no network at all: ONNX Runtime, or NumPy, refuses it
            continue
        if not hidden(STEPS, changed, style):
            yield model, made


def compared(content: bytes, path: Path) -> Comparison:
    path.write_bytes(content)
    return compare(SPEC, read_onnx(path))


def is_found(content: bytes, path: Path) -> bool:
    """Different, with a line for each fault, or refused by an operator's name."""
    try:
        comparison = compared(content, path)
    except ModelFileError as refused:
        return all(fault.code in ("R007", "R008") for fault in refused.diagnostics)
    return not comparison.equal and all(difference.message for difference in comparison.differences)


QUICK = ("torch", "torch folded", "scale and shift", "mindcv")
SEEDS = [(name, 1) for name in QUICK]
MORE = [(name, seed) for name in STYLES for seed in (1, 2, 3) if (name, seed) not in SEEDS]


@pytest.mark.parametrize(("name", "seed"), [*SEEDS, *(pytest.param(*more, marks=pytest.mark.slow) for more in MORE)])
def test_every_change_of_the_function_is_found(name: str, seed: int, tmp_path: Path) -> None:
    """200 of them; what ONNX Runtime shows to change nothing is left aside, and is rare."""
    style, changed, same, unfound = STYLES[name], 0, 0, list[bytes]()
    right = run(written(STEPS, style)[0], images(style))
    for content, made in mutants(style, 100 * seed + len(name)):
        if made.shape == right.shape and np.allclose(made, right, rtol=1e-4, atol=1e-5):
            same += 1
            continue
        changed += 1
        if not is_found(content, tmp_path / "mutant.onnx"):
            unfound.append(content)
        if changed == CHANGES:
            break
    assert not unfound
    assert same < CHANGES / 4


@pytest.mark.parametrize("name", STYLES)
def test_a_permuted_network_is_not_accused(name: str, tmp_path: Path) -> None:
    """Joins in a random order, the channels of what reads them moved with them: the same outputs to a rounding."""
    style = STYLES[name]
    right = run(written(STEPS, style)[0], images(style))
    rng = random.Random(len(name))
    order = {step.name: tuple(rng.sample(range(len(step.inputs)), len(step.inputs))) for step in STEPS}
    for content in (permuted(style, order, move=True), permuted(style, order, move=False)):
        comparison = compared(content, tmp_path / "permuted.onnx")
        assert comparison.equal
        assert any("in another order" in note for note in comparison.notes)
    np.testing.assert_allclose(run(permuted(style, order, move=True), images(style)), right, rtol=1e-3, atol=1e-5)
    assert not np.allclose(run(permuted(style, order, move=False), images(style)), right, rtol=1e-3)


def permuted(style: Style, order: dict[str, tuple[int, ...]], move: bool) -> bytes:
    """The network with its joins in another order, and, to keep the function, the weights behind them moved."""
    moved = {
        step.name: step._replace(inputs=tuple(step.inputs[at] for at in order[step.name]))
        if step.kind == "concat"
        else step
        for step in STEPS
    }
    weights = written(STEPS, style)[1]
    if move:
        weights = {**weights, **dict(moved_weights(moved, weights, order))}
    return written(moved.values(), style, weights)[0].SerializeToString()


def moved_weights(
    steps: dict[str, Step], weights: dict[str, Array], order: dict[str, tuple[int, ...]]
) -> Iterator[tuple[str, Array]]:
    """Follow where each channel of a value was before, and give the weights that read it in the new order."""
    places: dict[str, Array] = {}
    widths: dict[str, int] = {}
    for step in steps.values():
        sources = [places[name] for name in step.inputs]
        if step.kind == "concat":
            old = sorted(range(len(sources)), key=lambda at, name=step.name: order[name][at])  # type: ignore[misc]
            begins, total = {}, 0
            for at in old:
                begins[at], total = total, total + len(sources[at])
            places[step.name] = np.concatenate([begins[at] + source for at, source in enumerate(sources)])
        elif step.kind in ("input", "conv", "dense"):
            widths[step.name] = step.attrs["shape"][0] if step.kind == "input" else step.attrs["out_channels"]
            places[step.name] = np.arange(widths[step.name])
            if step.kind != "input":
                yield f"{step.name}.weight", weights[f"{step.name}.weight"][:, sources[0]]
        else:
            places[step.name] = sources[0]
            if step.kind == "batch_norm":
                for role in ("gamma", "beta", "moving_mean", "moving_variance"):
                    yield f"{step.name}.{role}", weights[f"{step.name}.{role}"][sources[0]]
