"""`densenet new`: a file to start from is the same network, and shows what else there is."""

import re

import pytest
from conftest import densenet, passed, refused

from archspec.spec.catalogue import shipped
from archspec.spec.load import load_spec
from archspec.spec.spec import Spec
from densenet_cli.commented_yaml import COLUMNS
from densenet_cli.starting_spec import write_starting_spec

# Settings that leave nothing of the defaults that a list of steps replaces, and forms that no
# shipped spec has.
OTHERS = {
    "short_forms": "growth_rate: 8\nblock_config: [2, 2]\nnorm: group\n"
    "activation: {kind: leaky_relu, slope: 0.2}\n",
    "listed": "growth_rate: 8\nblocks: [{layers: 2, connectivity: {edges: [[0], [1]]}}]\n"
    "features: [1]\n",
    "own_growth": "stem: {channels: 8}\n"
    "blocks: [{layers: 2, growth_rate: [4, 8], layer: [squeeze_excite, norm]}]\n",
    "text": "growth_rate: 8\nblock_config: [1]\n"
    f"description: \"it's # {{x: y}} {'long ' * 60}\"\nsource: '1e-4'\n",
    "own_layers": "growth_rate: 8\nblocks: [{layers: 3, layer_at: {1: basic, 3: [conv: {width: k, "
    "kernel: 3}]}}]\n"
    "transitions: [{pool: none, skip: stem}]\n",
    "published": "growth_rate: 8\nblock_config: [1]\npublished: [{data: x, top1: 9, source: y}]\n"
    "transitions: [none]\n",
}


def loaded(tmp_path, text):
    file = tmp_path / "again.yaml"
    file.write_text(text)
    return load_spec(file)


def uncommented(text):
    """Every commented key as a key; words stand behind `# ` with one blank."""
    return re.sub(r"^( *)#(?=[a-z]|  )", r"\1", text, flags=re.MULTILINE)


@pytest.fixture(params=[*shipped(), *OTHERS])
def spec(request, tmp_path):
    found = (
        loaded(tmp_path, OTHERS[request.param])
        if request.param in OTHERS
        else load_spec(request.param)
    )
    return found.model_copy(update={"published": ()})  # of another network: a new one has none


def test_a_starting_file_is_the_same_network(spec, tmp_path):
    """Of any shipped spec, and of forms that none of them has."""
    assert loaded(tmp_path, write_starting_spec(spec)) == spec


def test_what_is_commented_out_holds_as_it_stands(spec, tmp_path):
    """All keys at once without their # change nothing."""
    again = loaded(tmp_path, uncommented(write_starting_spec(spec)))
    assert again.resolved() == spec.resolved()
    assert again.transitions_in_order() == spec.transitions_in_order()


def test_every_key_has_its_line_and_words(spec):
    """A person sees what there is, on lines that fit the screen."""
    text = write_starting_spec(spec)
    missing = [key for key in Spec.model_fields if not re.search(rf"^#?{key}:", text, re.MULTILINE)]
    assert missing in ([], ["blocks"])
    assert "\nblock_config: " in text if missing else "block_config: " not in text
    assert "extends" not in text
    before = re.findall(r"^(.*)\n#?[a-z].*$", text, re.MULTILINE)
    assert [line for line in before if not re.match("# .{8}", line)] == []
    assert [line for line in text.splitlines() if len(line) > COLUMNS] == []


def test_new_writes_a_file_that_check_finds_right(tmp_path):
    """It says what to type next, and that works."""
    said = passed(densenet("new", "mine", "--like", "hardnet39ds", cwd=tmp_path))
    assert said == "wrote mine.yaml\nNext: densenet check mine.yaml\n"
    assert "mine.yaml: right" in passed(densenet("check", "mine.yaml", cwd=tmp_path))
    assert load_spec(tmp_path / "mine.yaml").name == "mine"


def test_without_like_it_begins_with_densenet121(tmp_path):
    """The suffix may be typed, and a folder be said."""
    passed(densenet("new", "mine.yaml", "-o", "other.yaml", cwd=tmp_path))
    expected = {**load_spec("densenet121").resolved(), "name": "mine", "published": []}
    assert load_spec(tmp_path / "other.yaml").resolved() == expected


def test_the_schema_is_called_as_the_hint_says(tmp_path):
    """The first line names the file that the command of the second line writes."""
    passed(densenet("new", "mine", cwd=tmp_path))
    first, second, *_ = (tmp_path / "mine.yaml").read_text().splitlines()
    command = re.findall("`densenet (.*?)`", second)[0]
    passed(densenet(*command.split(), cwd=tmp_path))
    assert (tmp_path / first.partition("$schema=")[2]).is_file()


def test_nothing_is_overwritten(tmp_path):
    """Not even a link that leads nowhere."""
    file = tmp_path / "mine.yaml"
    file.write_text("precious")
    refused(densenet("new", "mine", cwd=tmp_path), "mine.yaml W002 exists, and is not overwritten")
    assert file.read_text() == "precious"
    (tmp_path / "link.yaml").symlink_to("nowhere")
    refused(densenet("new", "link", cwd=tmp_path), "link.yaml W002 exists")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("a b",), "NAME a b S004 name (=a b) must match"),
        (("../up",), "S004 name (=../up) must match"),
        (("mine", "--like", "densenet112"), "S010 there is no spec 'densenet112'"),
        (
            ("mine", "-o", "nowhere/mine.yaml"),
            "nowhere/mine.yaml W002 cannot be written: No such file",
        ),
    ],
)
def test_what_cannot_be_begun_is_refused(arguments, words, tmp_path):
    """Name, model and place; nothing is left behind."""
    refused(densenet("new", *arguments, cwd=tmp_path), words)
    assert [*tmp_path.iterdir()] == []
