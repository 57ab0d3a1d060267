"""Random changes of networks written by hand in MindSpore:
each that changes what MindSpore computes is found.
"""

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from readers import onnx_styles
from readers.mindspore_styles import STYLES, Array, Style, exported, network, run
from readers.mutations import MUTATIONS, alike, is_found, permuted, random_order

from archspec.compare.compare import Comparison, compare
from archspec.graph.build import build_graph
from archspec.readers.mindir.read import read_mindir
from archspec.runtime import prepare
from archspec.spec.load import load_spec

prepare()
SHAPE = (3, 16, 16)
SMALL = [
    "block_config=[2,2]",
    "growth_rate=4",
    "input.height=16",
    "input.width=16",
    "head.num_classes=10",
]
SPEC = build_graph(load_spec("densenet121", SMALL))
STEPS = onnx_styles.densenet([2, 2], 4, SHAPE, 10)
IMAGES = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32)
FEW, CHANGES, TRIES = 5, 200, 1000


def mutants(style: Style, seed: int, folder: Path) -> Iterator[tuple[Any, Array, Path]]:
    """Networks that differ from the spec's in one random place and run, what they give,
    and where their text is.
    """
    rng = random.Random(seed)
    for number in range(TRIES):
        text = folder / f"mutant{number}.py"
        try:
            changed = rng.choice(MUTATIONS)(STEPS, rng)
            made = network(changed, style, text)
            output = run(made, IMAGES)
        except Exception:  # no network at all: MindSpore, or Python, refuses it
            continue
        yield made, output, text


def compared(made: Any, style: Style, path: Path) -> Comparison:
    """Compare what MindSpore compiles of a network with the spec."""
    return compare(SPEC, read_mindir(exported(made, style, SHAPE, path)))


SOME = [("each layer", FEW)]
ALL = [pytest.param(name, CHANGES, marks=pytest.mark.slow) for name in STYLES]


@pytest.mark.parametrize(("name", "changes"), [*SOME, *ALL])
def test_every_change_of_the_function_is_found(name: str, changes: int, tmp_path: Path) -> None:
    """What MindSpore shows to change nothing is left aside, and is rare."""
    style, changed, same, unfound = STYLES[name], 0, 0, list[str]()
    right = run(network(STEPS, style, tmp_path / "right.py"), IMAGES)
    for made, output, text in mutants(style, len(name), tmp_path):
        if alike(output, right):
            same += 1
            continue
        changed += 1
        if not is_found(partial(compared, made, style, text.with_suffix(""))):
            unfound.append(text.read_text())
        if changed == changes:
            break
    assert not unfound
    assert changed == changes
    assert same <= changes / 4


ONE = [name for name in STYLES if name == "mindcv"]
OTHERS = [pytest.param(name, marks=pytest.mark.slow) for name in STYLES if name != "mindcv"]


@pytest.mark.parametrize("name", [*ONE, *OTHERS])
def test_a_network_written_by_hand_is_not_accused(name: str, tmp_path: Path) -> None:
    """ONNX Runtime gives the same for the same steps and weights,
    so the text says what they say.
    """
    made = network(STEPS, STYLES[name], tmp_path / "right.py")
    model = onnx_styles.written(STEPS, onnx_styles.STYLES["torch"])[0]
    assert alike(run(made, IMAGES), onnx_styles.run(model, IMAGES))
    comparison = compared(made, STYLES[name], tmp_path / "right")
    assert comparison.is_equal
    assert comparison.notes == ()


@pytest.mark.parametrize("name", [*ONE, *OTHERS])
def test_a_permuted_network_is_not_accused(name: str, tmp_path: Path) -> None:
    """Joins in a random order, the channels of what reads them moved with them:
    the same outputs to a rounding.
    """
    style, weights = STYLES[name], onnx_styles.written(STEPS, onnx_styles.STYLES["torch"])[1]
    right, order = (
        run(network(STEPS, style, tmp_path / "right.py"), IMAGES),
        random_order(STEPS, random.Random(2)),
    )
    moved, kept = (
        network(steps, style, tmp_path / f"{move}.py", given)
        for move in (True, False)
        for steps, given in [permuted(STEPS, order, weights, move)]
    )
    np.testing.assert_allclose(run(moved, IMAGES), right, rtol=1e-3, atol=1e-5)
    assert not np.allclose(run(kept, IMAGES), right, rtol=1e-3)
    comparison = compared(kept, style, tmp_path / "kept")
    assert comparison.is_equal
    assert any("in another order" in note for note in comparison.notes)
