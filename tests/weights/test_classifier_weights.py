"""The classifier is the dense layer that is left over, whatever it is called."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from weights.networks import same, weights_of

from archspec.errors import ModelFileError
from archspec.graph.build import build_graph
from archspec.graph.parameters import list_parameters
from archspec.spec.load import load_spec
from archspec.train.inference.open_trained import open_trained
from archspec.train.pretrained import read_initial_weights
from archspec.weights.convert import convert_file
from archspec.weights.pairing.naming import translate_names

DIGITS = load_spec("densenetbc_digits")
WEIGHTS = weights_of("densenetbc_digits")
TORCH = translate_names("torchvision", WEIGHTS)


def with_classifier(name: str, prefix: str = "", **more: np.ndarray) -> dict[str, np.ndarray]:
    """In torchvision's names but for the classifier's."""
    held = {TORCH[own]: array for own, array in WEIGHTS.items()}
    weight, bias = held.pop("classifier.weight"), held.pop("classifier.bias")
    named = {**held, f"{name}.weight": weight, f"{name}.bias": bias, **more}
    return {prefix + own: array for own, array in named.items()}


def saved(folder: Path, held: dict[str, np.ndarray]) -> Path:
    save_file(held, folder / "x.safetensors")
    return folder / "x.safetensors"


def refusal(file: Path) -> list[str]:
    with pytest.raises(ModelFileError) as caught:
        convert_file(file, DIGITS)
    return [str(fault).replace(str(file), "FILE") for fault in caught.value.diagnostics]


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize(
    "name", ["fc", "head", "head.fc", "head.flatten.out", "last_linear", "class_layers.out"]
)
def test_a_classifier_of_another_name_is_recognised_and_it_is_said(name, prefix, tmp_path):
    """With and without a prefix."""
    found = convert_file(saved(tmp_path, with_classifier(name, prefix)), DIGITS)
    assert same(dict(found.tensors), WEIGHTS)
    assert found.adaptations == (f"'{prefix}{name}' in the file was taken for the classifier",)


@pytest.mark.parametrize("name", ["classifier.0", "classifier.1", "classifier.drop.linear"])
def test_a_classifier_in_a_sequence_is_recognised(name, tmp_path):
    """Dropout before it has no tensors, so its number is a level that tells nothing."""
    found = convert_file(saved(tmp_path, with_classifier(name)), DIGITS)
    assert same(dict(found.tensors), WEIGHTS)
    assert found.naming.endswith(f"with levels of its own ({found_levels(name)})")


def found_levels(name: str) -> str:
    return ", ".join(map(repr, sorted(name.split(".")[1:])))


def test_its_number_of_classes_counts_as_ever(tmp_path):
    """And a tensor that is called otherwise than weight and bias is told by its shape."""
    held = with_classifier("fc")
    held["fc.w"], held["fc.b"] = np.ones((7, 84), np.float32), np.ones(7, np.float32)
    del held["fc.weight"], held["fc.bias"]
    found = convert_file(saved(tmp_path, held), DIGITS)
    assert found.tensors["classifier.weight"].shape == (7, 84)
    assert found.tensors["classifier.bias"].shape == (7,)
    with pytest.raises(ModelFileError, match=r"fc\.w as \(7, 84\)"):
        convert_file(saved(tmp_path, held), load_spec("densenetbc_digits", ["head.num_classes=3"]))


def test_two_layers_that_could_be_it_are_both_named(tmp_path):
    """An auxiliary classifier, of the same width or another."""
    for width in (84, 30):
        aux = {"aux.weight": np.ones((10, width), np.float32), "aux.bias": np.ones(10, np.float32)}
        found = refusal(saved(tmp_path, with_classifier("fc", **aux)))
        assert found[0] == (
            "FILE R003 lacks classifier.weight "
            "(it could be aux.weight or fc.weight: rules for --map say which)"
        )
        assert "FILE R003 has aux.weight, which the network lacks" in found


def test_a_classifier_without_a_bias_or_with_another_width_is_told_in_its_own_name(tmp_path):
    """What it lacks, and what shape it has."""
    held = with_classifier("fc")
    del held["fc.bias"]
    assert refusal(saved(tmp_path, held)) == ["FILE R003 lacks fc.bias"]
    held = with_classifier("fc")
    held["fc.weight"] = np.ones((10, 30), np.float32)
    assert refusal(saved(tmp_path, held)) == [
        "FILE R003 has fc.weight as (10, 30), the network needs (10, 84)"
    ]


def test_a_name_that_is_taken_is_not_taken_twice(tmp_path):
    """A matrix beside the bias of a norm is no classifier."""
    held = {TORCH[own]: array for own, array in WEIGHTS.items()}
    held["features.norm5.out"] = held.pop("classifier.weight")
    del held["classifier.bias"]
    found = refusal(saved(tmp_path, held))
    assert any("lacks classifier.weight" in line for line in found)


PIXELS = """\
name: pixels
input: {channels: 1, height: 8, width: 8}
growth_rate: 4
stem: [conv: {width: 8, kernel: 3}]
layer: [norm, activation, conv: {width: k, kernel: 3}, squeeze_excite: {reduction: 2}]
blocks: [{layers: 2}]
head: HEAD
"""
CLASSES = ["head.num_classes=3"]
HEADS = {
    "the template": "per_pixel",
    "steps": "{steps: [norm, activation, {name: said, conv: {width: out, kernel: 1, bias: true}}]}",
}


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_classes_of_pixels_are_counted_by_the_last_convolution(head, prefix, tmp_path):
    """Of a file with other classes than the spec's, in our names and torch's, though other layers
    of it are dense.
    """
    (tmp_path / "pixels.yaml").write_text(PIXELS.replace("HEAD", head))
    theirs = load_spec(tmp_path / "pixels.yaml", ["head.num_classes=5"])
    tensors = {}
    for name, parameter in list_parameters(build_graph(theirs)).items():
        tensors[name] = np.ones(parameter.shape, np.float32)
    torch = translate_names("torchvision", tensors)
    mine = load_spec(tmp_path / "pixels.yaml", CLASSES)
    for held in (tensors, {torch[name]: array for name, array in tensors.items()}):
        file = saved(tmp_path, {prefix + name: array for name, array in held.items()})
        found = convert_file(file, tmp_path / "pixels.yaml")
        assert same(dict(found.tensors), tensors)
        assert found.remarks[0].startswith("5 classes as in the file")
        begun = read_initial_weights(file, mine)
        assert "a fresh classifier of 3 classes (the file has 5)" in begun.note
        assert len(begun.tensors) == len(tensors) - 2
        with pytest.raises(ModelFileError, match="R003"):
            convert_file(file, mine)


SAID = {
    "the template": ("per_pixel", "classifier"),
    "steps": (HEADS["steps"], "said"),
    "of images": ("{steps: [global_pool, {name: fc, dense: {}}]}", "fc"),
}


@pytest.mark.parametrize(("head", "name"), SAID.values(), ids=SAID)
def test_a_spec_is_opened_with_as_many_classes_as_its_checkpoint_tells(head, name, tmp_path):
    """Whatever the spec calls its classifier."""
    (tmp_path / "net.yaml").write_text(PIXELS.replace("HEAD", head))
    theirs = load_spec(tmp_path / "net.yaml", ["head.num_classes=5"])
    tensors = {}
    for own, parameter in list_parameters(build_graph(theirs)).items():
        tensors[own] = np.ones(parameter.shape, np.float32)
    assert f"{name}.weight" in tensors
    opened = open_trained(
        str(tmp_path / "net.yaml"), ckpt=saved(tmp_path, tensors), recipe="segmentation"
    )
    assert opened.spec.head.num_classes == 5
    assert same(dict(opened.tensors), tensors)
