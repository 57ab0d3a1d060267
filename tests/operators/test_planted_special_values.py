"""Mistakes that show at some value of a setting alone, or before a network has learned anything:
each is planted in a row that has it right, and a test of special values finds it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from operators import test_row_code as code
from operators import test_row_values as row_values
from operators import test_special_values as special
from operators.examples import EXAMPLES
from operators.special_values import NUMBERS, SPECIAL
from operators.test_planted_mistakes import in_code

from archspec.operators.attributes import Attrs
from archspec.operators.table import OPERATORS
from archspec.readers.onnx import operators as onnx_operators
from archspec.writers.mindspore import module

COMPARED = special.test_what_gives_the_same_as_a_plainer_kind_is_compared_as_that
TOGETHER = special.test_settings_of_which_nothing_comes_are_refused_together_and_no_others
BOUNDS = special.test_a_number_has_bounds_and_is_refused_beyond_them
FIRST = special.test_a_value_of_each_channel_begins_with_what_its_setting_says
FILTERS = special.test_filters_begin_as_those_of_the_published_networks
RUN = code.test_the_code_of_a_row_computes_what_numpy_does
READ = code.test_the_onnx_of_a_row_computes_what_numpy_does_and_is_read_back


def at(kind: str, **settings: Any) -> Attrs:
    """The special values of a kind that has these settings."""
    alike = (attrs for name, attrs in SPECIAL if name == kind)
    return next(attrs for attrs in alike if {**attrs, **settings} == attrs)


def never(attrs: Attrs, channels: int) -> bool:
    return False


def never_wrong(attrs: Attrs) -> str:
    return ""


def equal_is_right(attrs: Attrs) -> str:
    return "" if attrs["low"] <= attrs["high"] else "low is above high"


def zero_is_wrong(attrs: Attrs) -> str:
    return "" if attrs["low"] < attrs["high"] and attrs["low"] else "low is nothing"


def instance_norm(attrs: Attrs) -> str:
    return "instance_norm"


PLANTED: list[tuple[str, Mapping[str, Any], Callable[..., None], tuple[Any, ...]]] = [
    ("group_norm", {"same_as": never_wrong}, COMPARED, (at("group_norm", groups=16),)),
    ("group_norm", {"same_as": instance_norm}, COMPARED, (at("group_norm", groups=1),)),
    ("leaky_relu", {"same_as": never_wrong}, COMPARED, (at("leaky_relu", slope=0),)),
    ("leaky_relu", {"is_idle": never}, COMPARED, (at("leaky_relu", slope=1),)),
    ("scale", {"is_idle": never}, COMPARED, (at("scale", value=1.0),)),
    ("shuffle", {"is_idle": never}, COMPARED, (at("shuffle", groups=16),)),
    ("hard_tanh", {"fault": never_wrong}, TOGETHER, ()),
    ("hard_tanh", {"fault": equal_is_right}, TOGETHER, ()),
    ("hard_tanh", {"fault": zero_is_wrong}, TOGETHER, ()),
    ("softplus", {"fault": lambda attrs: "too sharp" * (attrs["beta"] > 50)}, TOGETHER, ()),
]


@pytest.mark.parametrize(
    ("kind", "wrong", "check", "given"),
    PLANTED,
    ids=[f"{kind} {next(iter(wrong))}" for kind, wrong, *_ in PLANTED],
)
def test_a_mistake_that_a_special_value_shows_is_found(
    kind: str,
    wrong: Mapping[str, Any],
    check: Callable[..., None],
    given: tuple[Any, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check(kind, *given)
    monkeypatch.setitem(OPERATORS, kind, replace(OPERATORS[kind], **wrong))
    with pytest.raises(AssertionError):
        check(kind, *given)


@pytest.mark.parametrize(
    "wrong", [{"maximum": None}, {"maximum": 64}, {"maximum": 31}, {"minimum": 1}, {"minimum": 3}]
)
def test_a_bound_that_is_missing_or_another_is_found(
    wrong: Mapping[str, Any], tmp_path: Path
) -> None:
    """Of the schema, where the language has the right one, and the other way round."""
    ((kind, name, part),) = (each for each in NUMBERS if each[0] == "upsample")
    BOUNDS(kind, name, part, tmp_path)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        BOUNDS(kind, name, {**part, **wrong}, tmp_path)


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("rms_norm", '"ones"', '"zeros"'),
        ("scale", "initializer(initial", "initializer(1.0"),
        ("prelu", ", {slope}", ""),
    ],
)
def test_another_first_value_is_found(
    kind: str, old: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    attrs = EXAMPLES[kind][-1]
    FIRST(kind, attrs)
    in_code(kind, old, new, monkeypatch)
    with pytest.raises(AssertionError):
        FIRST(kind, attrs)


@pytest.mark.parametrize(
    ("cell", "check", "given"),
    [
        ("nn.Conv2dTranspose", FILTERS, ("conv_transpose",)),
        ("nn.Dense", FIRST, ("dense", EXAMPLES["dense"][-1])),
    ],
)
def test_weights_that_begin_as_mindspore_has_it_are_found(
    cell: str, check: Any, given: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row does not say that the cell is MindSpore's own."""
    check(*given)
    without = module.INITIALISE.replace(cell, "nn.Flatten")
    assert without != module.INITIALISE
    monkeypatch.setattr(module, "INITIALISE", without)
    with pytest.raises(AssertionError):
        check(*given)


def test_a_number_in_the_code_that_is_the_examples_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It stands in place of the setting, and is right of the example."""
    kind, attrs = "elu", EXAMPLES["elu"][0]
    in_code(kind, "{alpha}", str(attrs["alpha"]), monkeypatch)
    RUN(kind, attrs, ())
    with pytest.raises(AssertionError):
        RUN(kind, at(kind, alpha=(attrs["alpha"] + 1) / 2), ())


def test_a_number_in_a_reading_that_is_the_examples_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By chance it is what the node of the example says."""
    kind, attrs = "leaky_relu", EXAMPLES["leaky_relu"][0]

    def read_wrongly(node: Any) -> Any:
        return node.elementwise(kind, slope=attrs["slope"])

    monkeypatch.setitem(onnx_operators.OPERATORS, "LeakyRelu", read_wrongly)
    READ(kind, attrs, (), tmp_path)
    with pytest.raises(AssertionError):
        READ(kind, at(kind, slope=1.0), (), tmp_path)


@pytest.mark.parametrize("other", ["", "global_max_pool", "relu"])
def test_a_pool_that_does_not_say_what_it_is_over_a_pixel_is_found(
    other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row_values.test_of_pools_that_are_one_over_a_pixel_all_but_one_say_so()
    wrong = replace(OPERATORS["global_max_pool"], over_one_pixel=other)
    monkeypatch.setitem(OPERATORS, "global_max_pool", wrong)
    with pytest.raises(AssertionError):
        row_values.test_of_pools_that_are_one_over_a_pixel_all_but_one_say_so()


def test_a_call_that_a_formatter_would_write_otherwise_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_code("concat", "({x})", "({x},)", monkeypatch)
    with pytest.raises(AssertionError):
        code.test_the_module_of_each_kind_is_as_ruff_has_it(tmp_path)
