"""Operators that give what they read:
a compiler leaves them out, and a person writes them for nothing.
"""

from dataclasses import replace
from typing import Any

import pytest
from compare.test_compare import lines, nameless
from compare.test_equal_operators import bypassed, conv, spec_of

from archspec.compare.compare import compare
from archspec.graph.ir import Graph

IDLE: dict[str, Any] = {
    "a max pool of one pixel": {"max_pool": {"kernel": 1, "stride": 1}},
    "an average of one pixel": {"avg_pool": {"kernel": 1, "stride": 1}},
    "a slice of all channels": {"slice": {}},
    "a slice from the first to the last": {"slice": {"start": 0, "stop": 8}},
    "a shuffle of one group": {"shuffle": {"groups": 1}},
    "a shuffle of groups of one": {"shuffle": {"groups": 8}},
    "a dropout": {"dropout": {"rate": 0.3}},
    "a scale of one": {"scale": {"value": 1}},
    "a dropout of channels": {"dropout2d": {"rate": 0.3}},
    "a dropout of images": {"drop_path": {"rate": 0.3}},
}
NOT_IDLE: dict[str, Any] = {
    "a pool that leaves pixels out": {"max_pool": {"kernel": 1, "stride": 2}},
    "a pool of more pixels": {"avg_pool": {"kernel": 3, "stride": 1, "padding": 1}},
    "a slice of some channels": {"slice": {"stop": 7}},
    "a shuffle": {"shuffle": {"groups": 2}},
    "a scale of another number": {"scale": {"value": 1.001}},
    "a scale that is learned": {"scale": {"initial": 1}},
}


@pytest.mark.parametrize("step", IDLE.values(), ids=IDLE)
def test_what_gives_what_it_reads_may_be_left_out(step: Any) -> None:
    """Of the file, or of the spec: in a layer's middle, at its start behind a join, in the stem."""
    steps = [step, conv(8), step, conv("k")]
    wide = {"growth_rate": 8, "blocks": [{"layers": 1}, {"layers": 1}]}
    written = spec_of(**wide, layer=steps, stem=[conv(8), step])
    plain = spec_of(**wide, layer=[conv(8), conv("k")], stem=[conv(8)])
    for spec, file in ((written, plain), (plain, written), (written, written)):
        found = compare(spec, nameless(file))
        assert (lines(found), found.notes) == ([], ())
        assert [block.edges for block in found.blocks] == [1, 1]


@pytest.mark.parametrize("step", NOT_IDLE.values(), ids=NOT_IDLE)
def test_what_changes_anything_is_not_left_out(step: Any) -> None:
    """The like of it, with one setting changed."""
    written, plain = (spec_of(stem=[conv(8), *steps, conv(8)]) for steps in ([step], []))
    assert not compare(written, nameless(plain)).is_equal
    assert not compare(plain, nameless(written)).is_equal


def test_a_crop_that_cuts_nothing_off_may_be_left_out() -> None:
    """`crop: true` of maps that have one size already; one pixel more, and it is a difference."""
    skip = {"pool": "none", "skip": "stem"}
    blocks = [{"layers": 1}, {"layers": 1}]
    written = spec_of(layer=[conv("k")], blocks=blocks, transitions=[{**skip, "crop": True}])
    plain = spec_of(layer=[conv("k")], blocks=blocks, transitions=[skip])
    assert any(op.kind == "crop" for op in written.ops.values())
    assert lines(compare(written, nameless(plain))) == []
    assert lines(compare(plain, nameless(plain))) == []


def test_a_crop_that_cuts_off_one_pixel_is_compared() -> None:
    """Of 9 x 9 pixels to the 8 x 8 of the stem."""
    larger = {"skip": "stem", "crop": True, "steps": [{"conv": {"kernel": 2, "padding": 1}}]}
    spec = spec_of(layer=[conv("k")], blocks=[{"layers": 1}, {"layers": 1}], transitions=[larger])
    assert lines(compare(spec, nameless(spec))) == []
    [crop] = [op for op in spec.ops.values() if op.kind == "crop"]
    assert lines(compare(spec, nameless(bypassed(spec, crop)))) != []


def between(low: float, high: float) -> dict[str, Any]:
    return {"kind": "hard_tanh", "low": low, "high": high}


CLAMPS: dict[str, tuple[list[Any], list[Any]]] = {
    "relu, relu6": (["relu", "relu6"], ["relu6"]),
    "relu, relu": (["relu", "relu"], ["relu"]),
    "relu, relu, relu6": (["relu", "relu", "relu6"], ["relu6"]),
    "relu6, relu": (["relu6", "relu"], ["relu6"]),
    "hard tanh, relu": ([between(-1, 2), "relu"], [between(0, 2)]),
    "relu, hard tanh": (["relu", between(-1, 2)], [between(0, 2)]),
    "hard tanh, hard tanh": ([between(-1, 2), between(-3, 1)], [between(-1, 1)]),
    "hard tanh up to 6": ([between(0, 6)], ["relu6"]),
    "hard tanh up to 9, relu6": ([between(-1, 9), "relu6"], ["relu6"]),
}
OTHERS: dict[str, tuple[list[Any], list[Any]]] = {
    "relu6, relu": (["relu6", "relu"], ["relu"]),
    "hard tanh, relu": ([between(-1, 2), "relu"], [between(-1, 2)]),
    "two that leave nothing between them": ([between(-2, -1), "relu"], ["relu"]),
    "silu, relu": (["silu", "relu"], ["relu"]),
    "relu, sigmoid": (["relu", "sigmoid"], ["sigmoid"]),
}


def behind_a_convolution(kinds: list[Any]) -> Any:
    steps = [conv(8), *({"activation": kind} for kind in kinds), conv("k")]
    return spec_of(growth_rate=8, blocks=[{"layers": 1}], layer=steps)


@pytest.mark.parametrize(("long", "short"), CLAMPS.values(), ids=CLAMPS)
def test_what_cuts_off_values_twice_may_do_it_once(long: list[Any], short: list[Any]) -> None:
    """ONNX Runtime's optimiser and PyTorch's exporter do so."""
    spec, file = behind_a_convolution(long), behind_a_convolution(short)
    for ours, theirs in ((spec, file), (file, spec), (spec, spec)):
        assert lines(compare(ours, nameless(theirs))) == []


def test_what_does_nothing_may_stand_between_two_that_cut_off_values() -> None:
    """A layer that ends in a ReLU and dropout, before a transition that begins with a ReLU."""
    layer = [conv(8), {"activation": "relu"}, {"dropout": {"rate": 0.1}}, "activation", conv("k")]
    spec = spec_of(growth_rate=8, blocks=[{"layers": 1}], layer=layer)
    file = behind_a_convolution(["relu"])
    for ours, theirs in ((spec, file), (file, spec), (spec, spec)):
        assert lines(compare(ours, nameless(theirs))) == []


@pytest.mark.parametrize(("long", "short"), OTHERS.values(), ids=OTHERS)
def test_another_activation_in_a_row_is_compared(long: list[Any], short: list[Any]) -> None:
    """It changes values."""
    assert lines(compare(behind_a_convolution(long), nameless(behind_a_convolution(short))))


def test_a_shuffle_that_undoes_another_may_be_left_out_with_it() -> None:
    """Eight channels in two groups and then in four are as they were;
    in two groups again they are not.
    """
    wide = {"growth_rate": 8, "blocks": [{"layers": 1}]}

    def shuffled(*groups: int) -> Any:
        shuffles = [{"shuffle": {"groups": number}} for number in groups]
        return spec_of(**wide, layer=[conv(8), *shuffles, conv("k")])

    assert lines(compare(shuffled(2, 4), nameless(shuffled()))) == []
    assert lines(compare(shuffled(), nameless(shuffled(4, 2)))) == []
    assert lines(compare(shuffled(2, 2), nameless(shuffled())))
    assert lines(compare(shuffled(2, 4, 2), nameless(shuffled(2)))) == []


@pytest.mark.parametrize("scale", ["scale", {"scale": {"value": 0.2}}], ids=["learned", "constant"])
def test_a_scale_before_a_norm_that_is_written_as_one_may_be_part_of_it(scale: Any) -> None:
    """And a note says so; of a norm in a node of its own it is none, nor behind one."""
    wide = {"growth_rate": 8, "blocks": [{"layers": 1}]}
    spec, plain, behind = (
        spec_of(**wide, layer=[*steps, conv("k")])
        for steps in ([scale, "norm"], ["norm"], ["norm", scale])
    )
    note = "1 scale before batch norms that are written as a scale and a shift is not told from"
    for file, notes in ((written_out(plain), 1), (written_out(spec), 1)):
        found = compare(spec, nameless(file))
        assert lines(found) == []
        assert sum(each.startswith(note) for each in found.notes) == notes
    for other in (plain, written_out(behind)):
        assert lines(compare(spec, nameless(other)))


def written_out(graph: Graph) -> Graph:
    """A graph as a file has it that does not tell the eps of its norms."""
    norms = [op for op in graph.ops.values() if op.kind == "batch_norm"]
    for op in norms:
        graph = graph.with_op(replace(op, attrs={**op.attrs, "eps": None}))
    return graph


def test_an_instance_norm_is_a_group_norm_of_as_many_groups() -> None:
    """Files do not tell them apart; of fewer groups, or with another eps, it is another norm."""

    def normed(**norm: Any) -> Any:
        return spec_of(stem=[conv(8), {"norm": norm}])

    instance, group = normed(kind="instance"), normed(kind="group", groups=8)
    for spec, file in ((instance, group), (group, instance), (instance, instance)):
        assert lines(compare(spec, nameless(file))) == []
    for other in (normed(kind="group", groups=4), normed(kind="instance", eps=0.1)):
        assert not compare(instance, nameless(other)).is_equal
        assert not compare(other, nameless(group)).is_equal


def test_standardized_filters_are_not_plain_ones() -> None:
    """Nor are those with another eps, which is stored as a float32."""

    def filtered(**settings: Any) -> Any:
        return spec_of(stem=[{"conv": {"width": 8, "kernel": 3, **settings}}])

    plain, spec = filtered(), filtered(standardized=True)
    assert lines(compare(spec, nameless(filtered(standardized=True, weight_eps=1e-6)))) == []
    for other in (plain, filtered(standardized=True, weight_eps=1e-3)):
        assert not compare(spec, nameless(other)).is_equal
        assert not compare(other, nameless(spec)).is_equal


def test_the_maximum_of_a_whole_map_is_a_global_pool() -> None:
    """As readers give it; of another window it is none, and neither is a mean."""

    def pooled(steps: list[Any]) -> Any:
        return spec_of(head=[*steps, {"conv": {"width": "out", "kernel": 1}}])

    whole = pooled([{"global_pool": {"kind": "max", "keep": True}}])
    window = pooled([{"max_pool": {"kernel": 8, "stride": 3}}])
    assert lines(compare(window, nameless(whole))) == []
    assert lines(compare(whole, nameless(whole))) == []
    for other in ([{"max_pool": {"kernel": 7, "stride": 3}}], [{"global_pool": {"keep": True}}]):
        assert not compare(pooled(other), nameless(whole)).is_equal


@pytest.mark.parametrize(
    ("steps", "is_nothing"),
    [
        (["pixel_unshuffle", "pixel_shuffle"], True),
        (["pixel_shuffle", "pixel_unshuffle"], True),
        (["pixel_unshuffle", {"pixel_shuffle": {"factor": 4}}, {"upsample": {"factor": 2}}], False),
    ],
)
def test_what_moves_pixels_and_back_may_be_left_out(steps: list[Any], is_nothing: bool) -> None:
    """MindSpore leaves both out when it compiles."""
    widths = [conv(16)]
    written = spec_of(stem=[*widths, *steps, conv(8)])
    plain = spec_of(stem=[*widths, conv(8)])
    assert compare(written, nameless(plain)).is_equal == is_nothing
    assert compare(plain, nameless(written)).is_equal == is_nothing


@pytest.mark.parametrize(("low", "stored"), [(-1e-300, -0.0), (0.0, -0.0), (-0.0, 0.0)])
def test_a_bound_that_a_float32_stores_as_zero_is_zero(low: float, stored: float) -> None:
    """Zero has two signs in a file, and is one number."""

    def bounded(low: float) -> Graph:
        steps = [conv(8), {"activation": {"kind": "hard_tanh", "low": low, "high": 4.5}}]
        return spec_of(stem=steps)

    spec = bounded(low)
    op = next(op for op in spec.ops.values() if op.kind == "hard_tanh")
    file = spec.with_op(replace(op, attrs={**op.attrs, "low": stored}))
    assert lines(compare(spec, nameless(file))) == []
    other = spec.with_op(replace(op, attrs={**op.attrs, "low": -0.1}))
    assert lines(compare(spec, nameless(other))) != []
