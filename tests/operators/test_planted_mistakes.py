"""Mistakes that a row may have, each planted in one that has it right: a test of rows passes before
that, and finds it. So a new row is held to what it says, whatever that is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from operators import test_fitting_shapes as shapes
from operators import test_row_code as code
from operators import test_row_flags as flags
from operators import test_row_values as row_values
from operators.examples import EXAMPLES

from archspec.operators.attributes import Attrs, always, never
from archspec.operators.operator import each_alone
from archspec.operators.shape_rules import Shape, ShapeFault, same_shape
from archspec.operators.table import OPERATORS

Check = Callable[..., None]


def one_mac(attrs: Attrs, inputs: Sequence[Shape], output: Shape) -> int:
    return 1


def no_mac(attrs: Attrs, inputs: Sequence[Shape], output: Shape) -> int:
    return 0


def repeats_a_channel(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    first, *others = inputs
    for position, other in enumerate(others, start=1):
        if other not in (first, (1, *first[1:])):
            raise ShapeFault("adds", (0, position))
    return first


def names_no_input(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    if len({*inputs}) > 1:
        raise ShapeFault("adds what does not fit")
    return inputs[0]


LOGITS = flags.test_logits_stay_logits_behind_what_neither_bends_nor_evens_them_out
FEATURES = flags.test_new_features_are_made_by_filters_and_sums_alone
MACS = flags.test_what_has_filters_alone_has_macs
FOLDS = flags.test_a_norm_is_folded_into_what_its_scale_can_go_into
ZEROS = flags.test_a_weight_of_zero_cuts_off_what_scales_channels_alone
PLACES = flags.test_a_row_says_whether_the_place_of_a_channel_matters
PIXELS = flags.test_what_resizes_gives_another_number_of_pixels
TRAINING = flags.test_what_changes_nothing_in_evaluation_is_of_training_or_untold
INT8 = flags.test_what_is_quantised_has_filters_or_ends_at_zero
REACHED = shapes.test_a_channel_of_a_join_depends_on_all_that_moves_it
JOINED = shapes.test_a_join_takes_what_numpy_joins_to_the_shape_that_it_says
REFUSED = shapes.test_a_join_refuses_some_and_says_which_of_what_it_reads_does_not_fit

SHAPES = shapes.test_an_operator_takes_what_numpy_computes_with_its_weights
SIGNS = row_values.test_a_row_says_which_signs_and_bounds_its_values_have
BOUNDS = row_values.test_a_row_says_whether_an_activation_leaves_values_between_bounds_as_they_are
PRODUCT = row_values.test_a_row_says_which_activation_its_input_times_its_output_is
UNDONE = row_values.test_a_row_says_what_undoes_it
WHOLE = row_values.test_what_is_read_as_a_pool_of_the_whole_map_shares_its_nodes
OF_ONE = row_values.test_a_window_of_one_pixel_keeps_what_its_row_says
OF_PIXELS = row_values.test_what_a_row_says_of_pixels_holds

PLANTED: Sequence[tuple[str, Mapping[str, Any], Check, tuple[Any, ...]]] = [
    *[(kind, {"keeps_logits": True}, LOGITS, ()) for kind in ("tanh", "rms_norm", "dropout")],
    *[(kind, {"keeps_logits": False}, LOGITS, ()) for kind in ("crop", "multiply", "scale")],
    ("leaky_relu", {"keeps_logits": True}, LOGITS, ()),
    ("add", {"carries": True}, FEATURES, ()),
    *[(kind, {"carries": False}, FEATURES, ()) for kind in ("multiply", "relu", "group_norm")],
    *[(kind, {"macs": one_mac}, MACS, ()) for kind in ("rms_norm", "max_pool", "add")],
    ("dense", {"macs": no_mac}, MACS, ()),
    *[(kind, {"folds_norm": True}, FOLDS, ()) for kind in ("scale", "prelu", "layer_norm")],
    *[(kind, {"folds_norm": False}, FOLDS, ()) for kind in ("conv", "conv_transpose", "dense")],
    ("avg_pool", {"folds_scale": True}, FOLDS, ()),
    ("blur_pool", {"folds_scale": False}, FOLDS, ()),
    *[(kind, {"scales_channels": True}, ZEROS, ()) for kind in ("prelu", "tanh", "rms_norm")],
    ("scale", {"scales_channels": False}, ZEROS, ()),
    *[(kind, {"tells_places": always}, PLACES, ()) for kind in ("layer_norm", "prelu", "add")],
    *[(kind, {"tells_places": never}, PLACES, ()) for kind in ("shuffle", "group_norm", "slice")],
    *[(kind, {"mixes": never}, PLACES, ()) for kind in ("dense", "conv_transpose")],
    *[(kind, {"resizes": True}, PIXELS, ()) for kind in ("relu", "add", "scale")],
    *[(kind, {"resizes": False}, PIXELS, ()) for kind in ("max_pool", "pixel_shuffle")],
    ("rms_norm", {"in_training": frozenset({"eps"})}, TRAINING, ("eps",)),
    ("hard_tanh", {"in_training": frozenset({"low"})}, TRAINING, ("low",)),
    ("batch_norm", {"in_training": frozenset()}, TRAINING, ("momentum",)),
    ("prelu", {"untold": frozenset()}, TRAINING, ("slope",)),
    ("tanh", {"onnx_of_int8": "Tanh"}, INT8, ()),
    ("relu6", {"onnx_of_int8": "Clip"}, INT8, ()),
    ("conv", {"onnx_of_int8": "Gemm"}, INT8, ()),
    *[(kind, {"shape": same_shape}, JOINED, ()) for kind in ("add", "multiply", "concat")],
    ("add", {"shape": repeats_a_channel}, JOINED, ()),
    ("add", {"shape": same_shape}, REFUSED, ()),
    *[(kind, {"reach": each_alone}, REACHED, ()) for kind in ("add", "multiply")],
    ("add", {"shape": names_no_input}, REFUSED, ()),
]
"""A kind, what is wrong in its row, the test that finds it, and of what it asks beside."""


def ask(check: Check, kind: str, *given: Any) -> None:
    """Of each example, where the test asks for it."""
    of_examples = "attrs" in check.__code__.co_varnames[: check.__code__.co_argcount]
    for attrs in EXAMPLES[kind]:
        check(kind, *([attrs] if of_examples else []), *given)


@pytest.mark.parametrize(
    ("kind", "wrong", "check", "given"),
    PLANTED,
    ids=[f"{kind} {next(iter(wrong))}" for kind, wrong, *_ in PLANTED],
)
def test_a_mistake_in_a_row_is_found(
    kind: str,
    wrong: Mapping[str, Any],
    check: Check,
    given: tuple[Any, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ask(check, kind, *given)
    monkeypatch.setitem(OPERATORS, kind, replace(OPERATORS[kind], **wrong))
    with pytest.raises(AssertionError):
        ask(check, kind, *given)


def in_code(kind: str, old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plant a mistake in the text of a row's code."""
    row, names = OPERATORS[kind], ("cell", "call", "definition", "general")
    texts = {name: getattr(row.mindspore, name).replace(old, new) for name in names}
    wrong = replace(row.mindspore, **texts)
    assert wrong != row.mindspore
    monkeypatch.setitem(OPERATORS, kind, replace(row, mindspore=wrong))


@pytest.mark.parametrize(
    ("kind", "old", "new"),
    [
        ("rms_norm", "{eps}", "1e-5"),
        ("layer_norm", "epsilon={eps}", "epsilon=1e-5"),
        ("rms_norm", "* gamma", "* gamma * 2"),
        ("max_pool", "stride={stride}", "stride={kernel}"),
        ("elu", "alpha *", "1 *"),
        ("hard_tanh", "{low}, {high}", "{low}, 2 * {high}"),
    ],
)
def test_a_mistake_in_the_code_of_a_row_is_found(
    kind: str, old: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number in place of a setting, a factor too many: as soon as it is run, before any network
    of it is built.
    """
    attrs = EXAMPLES[kind][0]
    in_code(kind, old, new, monkeypatch)
    with pytest.raises(AssertionError):
        code.test_the_code_of_a_row_computes_what_numpy_does(kind, attrs, ())


def test_a_mistake_in_the_onnx_of_a_row_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The eps of another norm."""
    kind, attrs = "layer_norm", EXAMPLES["layer_norm"][0]
    write = OPERATORS[kind].write_onnx
    assert write is not None

    def write_other(node: Any) -> str:
        made = write(node)
        node.nodes[-2].attribute[-1].f = 1e-5
        return made

    monkeypatch.setitem(OPERATORS, kind, replace(OPERATORS[kind], write_onnx=write_other))
    with pytest.raises(AssertionError):
        code.test_the_onnx_of_a_row_computes_what_numpy_does_and_is_read_back(
            kind, attrs, (), tmp_path
        )
