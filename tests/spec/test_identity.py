"""What a changed network is called, and which words of its parent it keeps."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archspec.spec.catalogue import shipped
from archspec.spec.identity import comparable_values, name_variant
from archspec.spec.load import load_spec
from archspec.spec.spec import Spec

SAME = {
    "classes": ["head.num_classes=10"],
    "classes in a mapping": ["head={num_classes: 10}"],
    "image size": ["input.height=64", "input.width=96"],
    "dropout": ["drop_rate=0.2", "drop_after=conv"],
    "dropout of the head": ["head.dropout=0.1"],
    "dropout of a block": ["blocks.1.drop_rate=0.3"],
    "momentum of the norm": ["norm.momentum=0.99"],
}
OTHER = {
    "growth": (["growth_rate=24"], "densenet121_growth_rate_24", "growth_rate=24"),
    "one block": (["blocks[1].layers=8"], "densenet121_blocks_1_.layers_8", "blocks[1].layers=8"),
    "short form": (
        ["block_config=[6, 12]"],
        "densenet121_block_config_6_12",
        "block_config=[6, 12]",
    ),
    "colours": (["input.channels=1"], "densenet121_input.channels_1", "input.channels=1"),
    "activation": (["activation=silu"], "densenet121_activation_silu", "activation=silu"),
    "activation's kind": (
        ["activation.kind=silu"],
        "densenet121_activation_silu",
        "activation=silu",
    ),
    "head": (["head=pooled"], "densenet121_head_pooled", "head=pooled"),
    "with classes": (
        ["growth_rate=24", "head.num_classes=3"],
        "densenet121_growth_rate_24",
        "growth_rate=24, head.num_classes=3",
    ),
}


@pytest.mark.parametrize("settings", SAME.values(), ids=SAME)
def test_a_task_leaves_a_network_its_name_and_source_but_not_its_figures(
    settings: list[str],
) -> None:
    """Nobody published an accuracy of it."""
    plain, changed = load_spec("densenet121"), load_spec("densenet121", settings)
    assert (changed.name, changed.source, changed.published) == ("densenet121", plain.source, ())
    assert changed.description.startswith("densenet121 with ")
    assert comparable_values(changed) == comparable_values(plain)


@pytest.mark.parametrize("step", ["dropout", "dropout2d", "drop_path"])
def test_what_drops_in_training_leaves_a_network_what_it_is(step: str) -> None:
    """With a name of its own or without, alone or in a branch."""
    conv = "conv: {width: k, kernel: 3}"
    plain = load_spec("densenet121", [f"layer=[branches: {{of: [[], [{conv}]]}}, {conv}]"])
    for drop in (f"{step}: {{rate: 0.1}}", f"{{name: own, {step}: {{rate: 0.1}}}}"):
        branches = f"branches: {{of: [[], [{conv}, {drop.replace('own', 'too')}]]}}"
        changed = load_spec("densenet121", [f"layer=[{drop}, {branches}, {conv}]"])
        assert comparable_values(changed) == comparable_values(plain)


@pytest.mark.parametrize(("settings", "name", "told"), OTHER.values(), ids=OTHER)
def test_another_body_is_another_network(settings: list[str], name: str, told: str) -> None:
    """It has neither name nor figures nor source of its parent, and says how it differs."""
    changed = load_spec("densenet121", settings)
    assert (changed.name, changed.description) == (name, f"densenet121 with {told}")
    assert (changed.source, changed.published) == ("", ())
    assert comparable_values(changed) != comparable_values(load_spec("densenet121"))


@pytest.mark.parametrize(
    "settings",
    [
        [],
        ["growth_rate=32"],
        ["bottleneck=4", "layer=bottleneck"],
        ["block_config=[6, 12, 24, 16]"],
    ],
)
def test_what_changes_nothing_takes_nothing(settings: list[str]) -> None:
    """A default that is written out is no change."""
    assert load_spec("densenet121", settings).resolved() == load_spec("densenet121").resolved()


def test_what_the_user_says_of_a_changed_network_holds() -> None:
    """Name, description, source and figures, in any order with what changes it."""
    words = ["name=mine", "growth_rate=24", "source=me", "description=small"]
    figures = "published=[{data: mine, top1: 1, source: me}]"
    spec = load_spec("densenet121", [*words, figures])
    assert (spec.name, spec.source, spec.description) == ("mine", "me", "small")
    assert [entry.data for entry in spec.published] == ["mine"]


@pytest.mark.parametrize(
    ("text", "source", "description"),
    [
        ("growth_rate: 24\n", "", "densenet121 with growth_rate=24"),
        ("block_config: [2, 2]\n", "", "densenet121 with block_config=[2, 2]"),
        (
            "head: {num_classes: 3}\n",
            "arXiv 1608.06993, table 1",
            "densenet121 with head.num_classes=3",
        ),
        ("growth_rate: 24\nsource: me\ndescription: mine\n", "me", "mine"),
        ("bottleneck: 4\n", "arXiv 1608.06993, table 1", ""),
        ("{}\n", "arXiv 1608.06993, table 1", ""),
    ],
)
def test_a_child_keeps_its_parents_source_where_it_computes_the_same(
    text: str, source: str, description: str, tmp_path: Path
) -> None:
    """It is called after its file, and published figures are never its own."""
    file = tmp_path / "child.yaml"
    file.write_text(f"extends: densenet121\n{text}" if text != "{}\n" else "extends: densenet121\n")
    spec = load_spec(file)
    assert (spec.name, spec.source, spec.description) == ("child", source, description)
    assert spec.published == ()


def test_words_go_where_a_grandchild_changes_the_network(tmp_path: Path) -> None:
    """Those of the parent in between, which has no name of its own, too."""
    (tmp_path / "between.yaml").write_text("extends: densenet121\nsource: us\ngrowth_rate: 8\n")
    (tmp_path / "last.yaml").write_text("extends: between.yaml\nbottleneck: 2\n")
    spec = load_spec(tmp_path / "last.yaml", ["compression=0.25"])
    assert (spec.name, spec.source) == ("last_compression_0.25", "")
    assert spec.description == "last with compression=0.25"


def test_a_users_description_stays_where_the_network_does(tmp_path: Path) -> None:
    """The data's number of classes does not overwrite what somebody wrote."""
    file = tmp_path / "mine.yaml"
    file.write_text("description: of birds\ngrowth_rate: 8\nblock_config: [1]\n")
    assert load_spec(file, ["head.num_classes=3"]).description == "of birds"
    assert load_spec(file, ["growth_rate=3"]).description == "mine with growth_rate=3"


def test_settings_that_mend_a_faulty_file_make_another_network(tmp_path: Path) -> None:
    """What the file says by itself is no network to compare with."""
    file = tmp_path / "half.yaml"
    file.write_text("source: me\nblock_config: [1]\n")
    spec = load_spec(file, ["growth_rate=3"])
    assert (spec.name, spec.source) == ("half_growth_rate_3", "")


@given(
    st.dictionaries(
        st.lists(st.text(min_size=1, max_size=30), min_size=1, max_size=5).map(tuple),
        st.one_of(st.text(), st.integers(), st.lists(st.integers(), max_size=40)),
        max_size=9,
    )
)
def test_every_name_is_one_that_a_spec_may_have(settings: dict[tuple[str, ...], object]) -> None:
    """However long and odd what changes it is; and the same each time."""
    name = name_variant("densenet121", settings)
    assert Spec(name=name, blocks=({"layers": 1},), growth_rate=1).name == name
    assert name == name_variant("densenet121", settings)


def test_long_names_of_different_networks_differ() -> None:
    """They end in a digest of all that was said."""
    lists = [f"block_config={[*range(1, length)]}" for length in (30, 31)]
    first, second = (load_spec("densenetbc_digits", [config]).name for config in lists)
    assert first != second
    assert len(first) == len(second) == 64


@pytest.mark.parametrize("name", shipped())
def test_shipped_networks_keep_their_words(name: str) -> None:
    """Each says its own name and source, and none has another's figures."""
    assert load_spec(name).name == name
    assert load_spec(name).source
