"""Slices, joins, reshapes and transposes:
of vectors, of maps with their channels last, of channels in groups.

What is read is run by the oracle, and must give what ONNX Runtime gives for the file.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest
from onnx import helper
from readers.onnx_styles import File, Step, Style, finished, optimised, run, written

from archspec.compare.compare import compare
from archspec.errors import ModelFileError
from archspec.graph.ir import Graph, Op
from archspec.readers.onnx.read import read_onnx

SHAPE = (4, 6, 5)
IMAGES = np.random.default_rng(3).normal(size=(2, *SHAPE)).astype(np.float32)
NORM = {
    f"norm.{role}": np.random.default_rng(4).normal(size=4).astype(np.float32)
    for role in ("gamma", "beta")
}


def read(model: Any, folder: Path) -> Graph:
    file = folder / "model.onnx"
    file.write_bytes(model.SerializeToString())
    return read_onnx(file)


def kinds_of_the_same(model: Any, folder: Path, weights: Any = None) -> list[str]:
    """Return the kinds of operators that are read, which do what the file does."""
    found = read(model, folder)
    made = oracle.forward(found.ops.values(), weights or {}, IMAGES)
    assert oracle.distance(run(model, IMAGES), made) < 1e-5
    return [op.kind for op in found.ops.values()][1:]


def opened(build: Callable[[File], str]) -> Any:
    file = File(Style(opset=17, batch=2))
    return finished(file, "x", (2, *SHAPE), build(file))


def step(name: str, kind: str, *inputs: str, **attrs: Any) -> Step:
    return Step(name, kind, inputs, attrs)


# ---- vectors

POOLED = [step("x", "input", shape=SHAPE), step("v", "global_avg_pool", "x")]
VECTORS = {
    "slices": [
        step("a", "slice", "v", start=0, stop=3),
        step("b", "slice", "v", start=1, stop=4),
        step("end", "concat", "b", "a", "v"),
    ],
    "a slice of a slice": [
        step("a", "slice", "v", start=1, stop=4),
        step("end", "slice", "a", start=1, stop=3),
    ],
    "a slope for each channel": [step("end", "prelu", "v", channels=4, slope=0.25)],
    "a sum and a product": [
        step("a", "sigmoid", "v"),
        step("b", "add", "a", "v"),
        step("end", "multiply", "b", "v"),
    ],
}


@pytest.mark.parametrize("head", ["flatten", "mean", "squeeze", "window"])
@pytest.mark.parametrize("name", VECTORS)
def test_vectors_are_sliced_and_joined(name: str, head: str, tmp_path: Path) -> None:
    steps = [*POOLED, *VECTORS[name]]
    model, weights = written(steps, Style(opset=17, head=head))
    right = oracle.forward(steps, weights, IMAGES)
    assert oracle.distance(run(model, IMAGES), right) < 1e-5
    spec = Graph.of("spec", [Op(*each) for each in steps])
    assert compare(spec, read(model, tmp_path)).differences == ()


@pytest.mark.parametrize("axis", [1, -1])
def test_a_vector_is_normed_and_parted(axis: int, tmp_path: Path) -> None:
    def build(file: File) -> str:
        x = file.node("Flatten", file.node("GlobalAveragePool", "x"))
        weights = (file.constant(values, name) for name, values in NORM.items())
        x = file.node("LayerNormalization", x, *weights, axis=axis, epsilon=1e-5)
        file.nodes.append(helper.make_node("Split", [x, file.sizes(1, 3)], ["a", "b"], axis=axis))
        return file.node("Concat", "b", "a", axis=axis)

    made = kinds_of_the_same(opened(build), tmp_path, NORM)
    assert made == ["global_avg_pool", "layer_norm", "slice", "slice", "concat"]


def test_a_map_is_not_normed_along_its_rows(tmp_path: Path) -> None:
    """As many pixels as channels in a row: the shapes fit."""
    file = File(Style(opset=17))
    weights = (file.constant(values) for values in NORM.values())
    x = file.node("LayerNormalization", "x", *weights, axis=-1)
    with pytest.raises(ModelFileError, match=r"R008.*norm the channels"):
        read(finished(file, "x", (2, 4, 4, 4), x), tmp_path)


@pytest.mark.parametrize("axis", [2, 3, -3])
def test_a_vector_has_no_other_axis(axis: int, tmp_path: Path) -> None:
    def build(file: File) -> str:
        x = file.node("Flatten", file.node("GlobalAveragePool", "x"))
        return file.node("Slice", x, *map(file.sizes, (0, 2, axis)))

    with pytest.raises(ModelFileError, match=r"R008.*axis"):
        read(opened(build), tmp_path)


# ---- channels last


def last(file: File, x: str = "x") -> str:
    return file.node("Transpose", x, perm=[0, 2, 3, 1])


def first(file: File, x: str) -> str:
    return file.node("Transpose", x, perm=[0, 3, 1, 2])


def joined_last(file: File) -> str:
    x = last(file)
    return first(file, file.node("Concat", x, file.node("Relu", x), axis=-1))


def sliced_last(file: File) -> str:
    return first(file, file.node("Slice", last(file), *map(file.sizes, (1, 3, 3))))


def cropped_last(file: File) -> str:
    return first(file, file.node("Slice", last(file), *map(file.sizes, (1, 4, 1))))


def parted_last(file: File) -> str:
    sizes = file.sizes(1, 3)
    file.nodes.append(helper.make_node("Split", [last(file), sizes], ["a", "b"], axis=3))
    return first(file, file.node("Concat", "b", "a", axis=3))


def averaged_last(file: File) -> str:
    return file.node("ReduceMean", last(file), axes=[1, 2], keepdims=0)


def averaged_and_squeezed(file: File) -> str:
    x = file.node("ReduceMean", last(file), axes=[1, 2], keepdims=1)
    return file.node("Squeeze", x, file.sizes(1, 2))


def one_pixel_turned_by_its_shape(file: File) -> str:
    """A transpose that moves nothing, as a reshape there and back."""
    x = file.node("Reshape", file.node("GlobalAveragePool", "x"), file.sizes(2, 1, 1, 4))
    x = file.node("Concat", x, x, axis=3)
    return file.node("Reshape", x, file.sizes(0, 8, 1, 1))


def one_channel_turned_by_its_shape(file: File) -> str:
    x = file.node("Slice", "x", *map(file.sizes, (2, 3, 1)))
    x = file.node("Relu", file.node("Reshape", x, file.sizes(2, 6, 5, 1)))
    return file.node("Reshape", x, file.sizes(2, 1, 6, -1))


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (joined_last, ["relu", "concat"]),
        (sliced_last, ["slice"]),
        (cropped_last, ["crop"]),
        (parted_last, ["slice", "slice", "concat"]),
        (averaged_last, ["global_avg_pool"]),
        (averaged_and_squeezed, ["global_avg_pool"]),
        (one_pixel_turned_by_its_shape, ["global_avg_pool", "concat"]),
        (one_channel_turned_by_its_shape, ["slice", "relu"]),
    ],
)
def test_channels_may_stand_last(build: Any, expected: list[str], tmp_path: Path) -> None:
    assert kinds_of_the_same(opened(build), tmp_path) == expected


def rows_joined(file: File) -> str:
    x = last(file)
    return first(file, file.node("Concat", x, x, axis=1))


def mixed(file: File) -> str:
    """One input with its channels last, of one with as many in each place."""
    x = file.node("Slice", "x", file.sizes(0, 0), file.sizes(4, 4), file.sizes(2, 3))
    return file.node("Concat", x, last(file, x), axis=1)


def flattened_last(file: File) -> str:
    return file.node("Reshape", last(file), file.sizes(2, 4, 6, 5))


@pytest.mark.parametrize("size", [(1, 6, 5), (4, 1, 1)])
@pytest.mark.parametrize("style", [Style(opset=17), Style(opset=17, batch=2)])
def test_one_channel_and_one_pixel_are_grouped_as_any(
    size: Any, style: Style, tmp_path: Path
) -> None:
    """A group norm and a shuffle, as they are written and as they are optimised."""
    attrs = {"channels": size[0], "groups": 1, "eps": 1e-5}
    steps = [
        step("x", "input", shape=size),
        step("a", "shuffle", "x", groups=1),
        step("b", "group_norm", "a", **attrs),
        step("c", "relu", "b"),
        step("end", "shuffle", "c", groups=size[0]),
    ]
    model, _ = written(steps, style)
    spec = Graph.of("spec", [Op(*each) for each in steps])
    for each in (model, optimised(model)):
        assert compare(spec, read(each, tmp_path)).differences == ()


@pytest.mark.parametrize("build", [rows_joined, mixed, flattened_last])
def test_what_moves_pixels_between_channels_is_refused(build: Any, tmp_path: Path) -> None:
    model = opened(build)
    run(model, IMAGES)
    with pytest.raises(ModelFileError, match="R008"):
        read(model, tmp_path)


# ---- shuffles


@pytest.mark.parametrize("groups", [(2, 4), (4, 2), (2, 1)])
def test_shuffles_in_a_row_may_share_a_reshape(groups: tuple[int, int], tmp_path: Path) -> None:
    """As ONNX Runtime's optimiser leaves them: from the groups of one to those of the next."""
    steps = [
        step("x", "input", shape=SHAPE),
        step("a", "shuffle", "x", groups=groups[0]),
        step("b", "shuffle", "a", groups=groups[1]),
        step("end", "relu", "b"),
    ]
    model = optimised(written(steps, Style(opset=17, batch=2))[0])
    assert sum(node.op_type == "Reshape" for node in model.graph.node) == 3
    assert kinds_of_the_same(model, tmp_path) == ["shuffle", "shuffle", "relu"]


@pytest.mark.parametrize("groups", [1, 4])
def test_a_shuffle_that_moves_nothing_may_be_reshapes(groups: int, tmp_path: Path) -> None:
    """Without its transpose, from groups of channels to channels of groups."""

    def build(file: File) -> str:
        x = "x"
        for sizes in ((2, groups, 4 // groups), (2, 4 // groups, groups), (2, 4)):
            x = file.node("Reshape", x, file.sizes(*sizes, 6, 5))
        return file.node("Relu", x)

    assert kinds_of_the_same(opened(build), tmp_path) == ["relu"]


def as_one_row_of_pixels(file: File) -> str:
    """x.view(n, g, c / g, h * w).transpose(1, 2)"""
    x = file.node("Reshape", "x", file.sizes(0, 2, 2, -1))
    x = file.node("Transpose", x, perm=[0, 2, 1, 3])
    return file.node("Reshape", x, file.sizes(0, -1, 6, 5))


def from_channels_that_stand_last(file: File) -> str:
    x = file.node("Reshape", last(file), file.sizes(2, 6, 5, 2, 2))
    return file.node(
        "Reshape", file.node("Transpose", x, perm=[0, 4, 3, 1, 2]), file.sizes(2, 4, 6, 5)
    )


def among_channels_that_stand_last(file: File) -> str:
    x = file.node("Reshape", last(file), file.sizes(0, 0, 0, 2, 2))
    x = file.node("Transpose", x, perm=[0, 1, 2, 4, 3])
    return first(file, file.node("Reshape", x, file.sizes(0, 0, 0, -1)))


def one_group_behind_the_pixels(file: File) -> str:
    """As an optimiser leaves the shuffle of one group: nothing is shuffled."""
    x = file.node("Reshape", "x", file.sizes(2, 4, 6, 5, 1))
    return file.node(
        "Reshape", file.node("Transpose", x, perm=[0, 4, 1, 2, 3]), file.sizes(2, 4, 6, 5)
    )


def from_last_to_first_in_groups(file: File) -> str:
    """Nothing is shuffled: the groups stand as they did."""
    x = file.node("Reshape", last(file), file.sizes(2, 6, 5, 2, 2))
    return file.node(
        "Reshape", file.node("Transpose", x, perm=[0, 3, 4, 1, 2]), file.sizes(2, 4, 6, 5)
    )


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        (as_one_row_of_pixels, ["shuffle"]),
        (from_channels_that_stand_last, ["shuffle"]),
        (among_channels_that_stand_last, ["shuffle"]),
        (from_last_to_first_in_groups, []),
        (one_group_behind_the_pixels, []),
    ],
)
def test_dimensions_of_groups_may_stand_anywhere(
    build: Any, expected: list[str], tmp_path: Path
) -> None:
    model = opened(lambda file: file.node("Relu", build(file)))
    assert kinds_of_the_same(model, tmp_path) == [*expected, "relu"]


def pixels_first(file: File) -> str:
    x = file.node("Reshape", "x", file.sizes(2, 2, 2, 6, 5))
    return file.node(
        "Reshape", file.node("Transpose", x, perm=[0, 3, 4, 1, 2]), file.sizes(2, 4, 6, 5)
    )


def rows_turned(file: File) -> str:
    x = file.node("Reshape", "x", file.sizes(2, 2, 2, 6, 5))
    return file.node(
        "Reshape", file.node("Transpose", x, perm=[0, 1, 2, 4, 3]), file.sizes(2, 4, 6, 5)
    )


def normed_across(file: File) -> str:
    """A group norm of channels that were shuffled and stand apart still."""
    x = file.node("Reshape", "x", file.sizes(2, 2, 2, 6, 5))
    x = file.node("Transpose", x, perm=[0, 2, 1, 3, 4])
    ones, zeros = (file.constant([value] * 2) for value in (1, 0))
    x = file.node("InstanceNormalization", x, ones, zeros)
    return file.node("Reshape", x, file.sizes(2, 4, 6, 5))


def two_groups_behind_the_pixels(file: File) -> str:
    """Pixels, not channels, are in two groups."""
    x = file.node("Reshape", "x", file.sizes(2, 2, 6, 5, 2))
    return file.node(
        "Reshape", file.node("Transpose", x, perm=[0, 4, 1, 2, 3]), file.sizes(2, 4, 6, 5)
    )


REFUSED = [pixels_first, rows_turned, normed_across, two_groups_behind_the_pixels]


@pytest.mark.parametrize("build", REFUSED)
def test_other_orders_of_groups_are_refused(build: Any, tmp_path: Path) -> None:
    model = opened(build)
    run(model, IMAGES)
    with pytest.raises(ModelFileError, match="R008"):
        read(model, tmp_path)


def test_groups_of_pixels_are_refused(tmp_path: Path) -> None:
    """Reshaped from groups to rows of other sizes."""

    def build(file: File) -> str:
        x = file.node("Reshape", "x", file.sizes(2, 2, 2, 6, 5))
        return file.node("Reshape", x, file.sizes(2, 4, 5, 6))

    with pytest.raises(ModelFileError, match="R008"):
        read(opened(build), tmp_path)
