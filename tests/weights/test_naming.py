"""Others' names of our parameters, and which of them a file follows."""

import pytest
from handwritten import VARIANTS, HandwrittenDenseNet
from weights.networks import own_name, parameters_of

from archspec.errors import ModelFileError
from archspec.weights.pairing import naming
from archspec.weights.pairing.naming import NAMINGS, recognise_naming, translate_names

NAMES = list(parameters_of("densenet121"))
OTHERS = [name for name in NAMINGS if name != "timm"]  # torchvision's names


@pytest.mark.parametrize("variant", VARIANTS)
def test_mindcvs_names_are_those_of_a_network_written_by_hand(variant):
    """In MindCV's structure: the cells name their parameters, no rule of ours does."""
    growth_rate, blocks, stem = VARIANTS[variant]
    network = HandwrittenDenseNet(growth_rate, blocks, stem)
    theirs = {p.name: tuple(p.shape) for p in network.get_parameters()}
    wanted = parameters_of(variant)
    named = translate_names("mindcv", wanted)
    assert {named[name]: parameter.shape for name, parameter in wanted.items()} == theirs


def test_torchvisions_names_are_as_its_files_have_them():
    """One of each kind, from a listing of densenet121's state dict, new and of 2017."""
    ours = (
        "features.norm0.gamma",
        "features.denseblock2.denselayer11.norm1.moving_mean",
        "features.denseblock2.denselayer11.conv2.weight",
        "features.transition3.norm.moving_variance",
        "classifier.bias",
    )
    new, old = translate_names("torchvision", NAMES), translate_names("torchvision_old", NAMES)
    assert [new[name] for name in ours] == [
        "features.norm0.weight",
        "features.denseblock2.denselayer11.norm1.running_mean",
        "features.denseblock2.denselayer11.conv2.weight",
        "features.transition3.norm.running_var",
        "classifier.bias",
    ]
    assert old[ours[1]] == "features.denseblock2.denselayer11.norm.1.running_mean"
    assert old[ours[2]] == "features.denseblock2.denselayer11.conv.2.weight"
    assert old[ours[0]] == new[ours[0]]


@pytest.mark.parametrize("prefix", ["", "module.", "network.", "module.backbone."])
@pytest.mark.parametrize("name", OTHERS)
def test_a_naming_is_recognised_behind_any_prefix(name, prefix):
    """By the names alone, in whatever order."""
    theirs = translate_names(name, NAMES)
    found = recognise_naming([prefix + theirs[ours] for ours in reversed(NAMES)], NAMES, "file")
    assert (found.naming, found.prefix) == (name, prefix)
    assert found.theirs == {ours: prefix + theirs[ours] for ours in NAMES}


@pytest.mark.parametrize("prefix", ["net.", "module.net."])
def test_what_stands_beside_the_network_is_no_part_of_its_names(prefix):
    """A module's loss, beside far more tensors; but no second network."""
    theirs = [prefix + name for name in translate_names("torchvision", NAMES).values()]
    beside = ["loss.weight", f"{prefix.replace('net', 'auxiliary')}bias"]
    assert recognise_naming([*theirs, *beside], NAMES, "file").prefix == prefix
    second = [f"other.{name}" for name in NAMES]
    with pytest.raises(ModelFileError, match="R011"):
        recognise_naming([*theirs, *second], NAMES, "file")


def test_a_file_with_a_few_tensors_missing_is_recognised_all_the_same():
    """So that what it lacks can be told."""
    theirs = list(translate_names("mindcv", NAMES).values())
    assert recognise_naming(theirs[5:], NAMES, "file").naming == "mindcv"


def test_unknown_names_are_shown_with_what_to_do():
    """R011 with the first names of the file; not where the user knows better."""
    found = [own_name(name) for name in NAMES]
    with pytest.raises(ModelFileError) as caught:
        recognise_naming(found, NAMES, "mine.pth")
    assert str(caught.value) == (
        "mine.pth R011 follows no naming that is known here: stem.conv.weight, "
        "stem.bn.running_mean, "
        "stem.bn.running_var, ... (--map FILE, or --by-order)"
    )
    assert recognise_naming(found, NAMES, "mine.pth", "mindcv").naming == "mindcv"


def test_a_naming_with_one_name_for_two_is_refused(monkeypatch):
    """R011: such a file could not be read back."""
    monkeypatch.setattr(naming, "NAMINGS", {"short": ((r"norm\d", "norm"),)})
    with pytest.raises(
        ModelFileError, match=r"R011 calls both features\.norm0\.gamma and features\.norm5\.gamma"
    ):
        translate_names("short", ["features.norm0.gamma", "features.norm5.gamma"])
