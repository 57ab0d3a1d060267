"""Random changes of networks in ONNX files:
each that ONNX Runtime shows to change the function is found.
"""

import random
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from readers.mutations import MUTATIONS, Steps, alike, is_found, permuted, random_order
from readers.onnx_styles import STYLES, Array, Style, densenet, run, written

from archspec.compare.compare import Comparison, compare
from archspec.graph.build import build_graph
from archspec.readers.onnx.read import onnx_reading
from archspec.spec.load import load_spec

SMALL = [
    "block_config=[2,3]",
    "growth_rate=4",
    "input.height=32",
    "input.width=32",
    "head.num_classes=10",
]
SPEC = build_graph(load_spec("densenet121", SMALL))
STEPS = densenet([2, 3], 4, (3, 32, 32), 10)
CHANGES = 200


def hidden(steps: Steps, mutant: Steps, style: Style) -> bool:
    """What a style cannot show: a folded norm has no eps, and takes up the bias before it."""
    changed = next((b for a, b in zip(steps, mutant, strict=False) if a != b), None)
    if changed is None or style.norm == "batch_norm" or len(mutant) != len(steps):
        return False
    normed = any(step.kind == "batch_norm" and changed.name in step.inputs for step in mutant)
    return changed.attrs.get("eps") == 0.1 or (
        bool(changed.attrs.get("bias")) and normed and style.norm == "folded"
    )


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
    reading = onnx_reading(path)
    return compare(
        SPEC, reading.graph, zero_biases=reading.zero_biases, norms_shift=reading.norms_shift
    )


QUICK = ("torch folded", "scale and shift")
SEEDS = [(name, 1) for name in QUICK]
MORE = [(name, seed) for name in STYLES for seed in (1, 2, 3) if (name, seed) not in SEEDS]


@pytest.mark.parametrize(
    ("name", "seed"), [*SEEDS, *(pytest.param(*more, marks=pytest.mark.slow) for more in MORE)]
)
def test_every_change_of_the_function_is_found(name: str, seed: int, tmp_path: Path) -> None:
    """200 of them; what ONNX Runtime shows to change nothing is left aside, and is rare."""
    style, changed, same, unfound = STYLES[name], 0, 0, list[bytes]()
    right = run(written(STEPS, style)[0], images(style))
    for content, made in mutants(style, 100 * seed + len(name)):
        if alike(made, right):
            same += 1
            continue
        changed += 1
        if not is_found(partial(compared, content, tmp_path / "mutant.onnx")):
            unfound.append(content)
        if changed == CHANGES:
            break
    assert not unfound
    assert same < CHANGES / 4


@pytest.mark.parametrize("name", STYLES)
def test_a_permuted_network_is_not_accused(name: str, tmp_path: Path) -> None:
    """Joins in a random order, the channels of what reads them moved with them:
    the same outputs to a rounding.
    """
    style = STYLES[name]
    model, weights = written(STEPS, style)
    right, order = run(model, images(style)), random_order(STEPS, random.Random(len(name)))
    moved, kept = (
        written_again(style, *permuted(STEPS, order, weights, move)) for move in (True, False)
    )
    for content in (moved, kept):
        comparison = compared(content, tmp_path / "permuted.onnx")
        assert comparison.is_equal
        assert any("in another order" in note for note in comparison.notes)
    np.testing.assert_allclose(run(moved, images(style)), right, rtol=1e-3, atol=1e-5)
    assert not np.allclose(run(kept, images(style)), right, rtol=1e-3)


def written_again(style: Style, steps: Steps, weights: Mapping[str, Array]) -> bytes:
    return bytes(written(steps, style, weights)[0].SerializeToString())
