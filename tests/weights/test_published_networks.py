"""Of which networks weights are published."""

import pytest

from archspec.errors import DownloadError
from archspec.files import to_yaml
from archspec.spec.load import load_spec
from archspec.weights.published import PUBLISHED
from archspec.weights.published_networks import estimate_bytes, find_published_for


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_weights_of_a_network_are_found_whatever_it_is_called(name, tmp_path):
    """Another task, a file of one's own, one that was built: the body decides."""
    task = ["head.num_classes=10", "input.height=64", "drop_rate=0.2", "name=mine"]
    assert find_published_for(load_spec(name, task)) == name
    (tmp_path / "mine.yaml").write_text(f"extends: {name}\nhead: {{num_classes: 3}}\n")
    assert find_published_for(load_spec(tmp_path / "mine.yaml")) == name
    (tmp_path / "built.yaml").write_text(to_yaml(load_spec(name, task).resolved()))
    assert find_published_for(load_spec(tmp_path / "built.yaml")) == name


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["growth_rate=24"], ["densenet121_growth_rate_24", "densenet121 with growth_rate=24"]),
        (["input.channels=2"], ["densenet121 with input.channels=2"]),
        (["activation=silu"], ["densenet121 with activation=silu"]),
        (
            ["norm.eps=0.1", "name=densenet121"],
            ["densenet121 is published, but of another network"],
        ),
    ],
)
def test_another_network_has_no_published_weights(settings, words):
    """Not even one that calls itself so; nothing is downloaded to find that out."""
    with pytest.raises(DownloadError, match="N001") as caught:
        find_published_for(load_spec("densenet121", settings))
    assert not [word for word in words if word not in str(caught.value)]


def test_filters_of_colours_are_found_for_grey_images():
    """Which they fit summed; another body is another network in grey too."""
    assert find_published_for(load_spec("densenet121", ["input.channels=1"])) == "densenet121"
    with pytest.raises(DownloadError, match="N001"):
        find_published_for(load_spec("densenet121", ["input.channels=1", "growth_rate=24"]))


def test_the_size_of_a_file_is_known_before_it_is_there():
    """Four bytes for each of torchvision's 7,978,856 parameters and 83,648 moving statistics."""
    assert estimate_bytes("densenet121") == 4 * (7_978_856 + 2 * 41_824)
