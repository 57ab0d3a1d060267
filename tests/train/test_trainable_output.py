"""Only what gives logits, of images or of their pixels, is trained: cross entropy would read
anything silently.
"""

import pytest

from archspec.errors import TrainingError
from archspec.graph.build import build_graph
from archspec.spec.catalogue import shipped
from archspec.spec.load import load_spec
from archspec.spec.steps import ActivationSpec
from archspec.train.planning import plan_run
from archspec.train.trainable_output import check_logits

SMALL = ["block_config=[1, 1]"]
KINDS = ActivationSpec.model_fields["kind"].annotation.__args__
BEHIND = {
    **{kind: (f"[global_pool, dense, activation: {kind}]", [f"{kind}"]) for kind in KINDS},
    "norm": ("[global_pool, dense, norm: layer]", ["layer_norm"]),
    "dropout": ("[global_pool, dense, dropout: {rate: 0.5}]", ["dropout"]),
    "drop_path": ("[global_pool, dense, drop_path: {rate: 0.5}]", ["drop_path"]),
    "dropout of channels": (
        "[conv: {width: out, kernel: 1}, dropout2d: {rate: 0.5}, global_pool]",
        ["dropout2d"],
    ),
    "norm of a map": ("[conv: {width: out, kernel: 1}, norm, global_pool]", ["batch_norm"]),
    "activation of a map": ("[conv: {width: out, kernel: 1}, activation, global_pool]", ["relu"]),
    "several": (
        "[global_pool, dense, norm: layer, activation: silu, dropout: {rate: 0.1}]",
        ["dropout", "silu", "layer_norm"],
    ),
    "both branches": (
        "[global_pool, branches: {join: add, of: [[dense, activation: relu], [dense]]}]",
        ["relu"],
    ),
    "behind a gate": (
        "[conv: {width: out, kernel: 1}, activation, squeeze_excite: {reduction: 2}, global_pool]",
        ["relu"],
    ),
}
LOGITS = {
    "template": "pooled",
    "hidden layer": "[global_pool, dense: {width: 7}, activation, dropout: {rate: 0.5}, dense]",
    "pooled logits": "[norm, activation, conv: {width: out, kernel: 1, bias: true}, global_pool]",
    "two heads": "[global_pool, branches: {join: add, of: [[dense], [dense: {width: 3}, dense]]}]",
    "halves": "[global_pool, branches: {of: [[dense: {width: 5}], [dense: {width: 5}]]}]",
    "a rate of nothing": "[global_pool, dense, dropout]",
    "gated logits": "[conv: {width: out, kernel: 1}, squeeze_excite: {reduction: 2}, global_pool]",
}


def checked(head: str) -> None:
    spec = load_spec("densenetbc_digits", [*SMALL, f"head={{num_classes: 10, steps: {head}}}"])
    check_logits(spec, build_graph(spec))


@pytest.mark.parametrize(("head", "kinds"), BEHIND.values(), ids=BEHIND)
def test_what_stands_behind_the_last_weights_is_refused(head, kinds):
    """Each operator by its name, with the step and what to do."""
    with pytest.raises(TrainingError) as caught:
        checked(head)
    faults = caught.value.diagnostics
    assert [fault.message.partition("(")[2].partition(")")[0] for fault in faults] == kinds
    assert all(
        fault.code == "T015" and "stands behind the last weights" in fault.message
        for fault in faults
    )
    assert all("leave the" in fault.hint for fault in faults)


@pytest.mark.parametrize("head", LOGITS.values(), ids=LOGITS)
def test_logits_are_taken_however_the_head_comes_to_them(head):
    """What stands before the last weights is the head's own affair."""
    checked(head)


@pytest.mark.parametrize(
    "settings", [["features=[1]"], ["head=none"], ["head=per_pixel"], ["head=[global_pool]"]]
)
def test_other_outputs_are_refused(settings):
    """Features, feature maps, classes of each pixel, another number of channels."""
    spec = load_spec("densenetbc_digits", settings)
    with pytest.raises(TrainingError, match=r"T014 gives .* must give \d+ logits alone"):
        check_logits(spec, build_graph(spec))


PIXELS = ["per_pixel", "[conv: {width: out, kernel: 3}]"]


@pytest.mark.parametrize("steps", PIXELS)
def test_logits_of_each_pixel_are_taken_where_the_data_are_masks(steps):
    """Of the size of the image alone: a network with transitions down has smaller ones."""
    head = f"head={{num_classes: 3, steps: {steps}}}"
    spec = load_spec("densenetbc_digits", ["block_config=[1]", head])
    check_logits(spec, build_graph(spec), per_pixel=True)
    with pytest.raises(TrainingError, match=r"gives 3 x 8 x 8; .* 3 logits alone \(.* masks"):
        check_logits(spec, build_graph(spec))
    lower = load_spec("densenetbc_digits", ["block_config=[1, 1]", head])
    rule = r"gives 3 x 4 x 4; .* must give 3 x 8 x 8 logits alone, .* \(.*size of the image"
    with pytest.raises(TrainingError, match=rf"T014 {rule}"):
        check_logits(lower, build_graph(lower), per_pixel=True)


def test_a_classifier_of_images_learns_no_masks():
    """With the head that does."""
    spec = load_spec("densenetbc_digits", SMALL)
    with pytest.raises(TrainingError, match=r"T014 gives 10; .* 10 x 8 x 8 .*\(head: per_pixel"):
        check_logits(spec, build_graph(spec), per_pixel=True)


def test_an_activation_behind_the_logits_of_pixels_is_refused():
    """As behind those of images."""
    steps = "head={num_classes: 3, steps: [conv: {width: out, kernel: 1}, activation: softplus]}"
    spec = load_spec("densenetbc_digits", ["block_config=[1]", steps])
    with pytest.raises(TrainingError, match=r"T015 .*softplus"):
        check_logits(spec, build_graph(spec), per_pixel=True)


def test_training_does_not_start_and_names_the_step(tmp_path):
    """At the line of the head's last step that may be meant."""
    file = tmp_path / "net.yaml"
    file.write_text(
        "input: {channels: 1, height: 8, width: 8}\nstem: {kernel: 3, stride: 1, pool: none}\n"
        "growth_rate: 4\nblock_config: [1]\nhead:\n  steps:\n    - global_pool\n    - dense\n"
        "    - activation: sigmoid\n"
    )
    with pytest.raises(TrainingError, match=r"net.yaml:9:7 T015 sigmoid \(sigmoid\)"):
        plan_run(str(file))


@pytest.mark.parametrize("name", sorted(set(shipped()) - {"fcdensenet103"}))
def test_every_shipped_classifier_can_be_trained(name):
    """All but the one that tells classes of each pixel."""
    spec = load_spec(name)
    check_logits(spec, build_graph(spec))


@pytest.mark.parametrize("size", [[224, 224], [360, 480]])
def test_the_shipped_network_of_pixels_can_be_trained_on_crops_and_whole_images(size):
    """Of the sizes in its recipes."""
    spec = load_spec("fcdensenet103", [f"input.height={size[0]}", f"input.width={size[1]}"])
    check_logits(spec, build_graph(spec), per_pixel=True)
