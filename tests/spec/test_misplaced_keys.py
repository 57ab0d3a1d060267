"""A key in the wrong place is led to the right one, in this file or in the other."""

from pathlib import Path

import pytest

from archspec.errors import SpecError
from archspec.spec.load import load_spec
from archspec.spec.reading.foreign_keys import KEYS_OF_RECIPES
from archspec.spec.reading.misplaced_keys import find_key, walk_keys
from archspec.train.recipe.foreign_words import FOREIGN_KEYS
from archspec.train.recipe.recipe import Recipe, load_recipe
from densenet_cli.options import split_overrides


def hint_of(load):
    with pytest.raises(SpecError) as caught:
        load()
    (fault,) = caught.value.diagnostics
    return fault.code, fault.hint


def typed(text):
    """As `densenet train --set TEXT` reads it."""
    for_spec, for_recipe = split_overrides([text])
    if for_recipe:
        return hint_of(lambda: load_recipe("digits", for_recipe))
    return hint_of(lambda: load_spec("densenet121", for_spec, Recipe))


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("learning_rate=0.1", "--set recipe.schedule.learning_rate=0.1"),
        ("lr=0.1", "--set recipe.schedule.learning_rate=0.1"),
        ("recipe.lr=0.1", "--set recipe.schedule.learning_rate=0.1"),
        ("recipe.learning_rate=0.1", "--set recipe.schedule.learning_rate=0.1"),
        ("recipe.optimizer.lr=0.1", "--set recipe.schedule.learning_rate=0.1"),
        ("optimizer.momentum=0.1", "--set recipe.optimizer.momentum=0.1"),
        ("wd=1e-4", "--set recipe.optimizer.weight_decay=0.0001"),
        ("bs=16", "--set recipe.batch_size=16"),
        ("schedule=step", "--set recipe.schedule.kind=step"),
        ("recipe.schedule=step", "--set recipe.schedule.kind=step"),
        ("sched=step", "--set recipe.schedule.kind=step"),
        ("epochs=3", "--set recipe.epochs=3"),
        ("recipe.ema=0.999", "--set recipe.ema.decay=0.999"),
        ("recipe.clip=1", "--set recipe.clip.norm=1"),
        ("recipe.early_stopping=10", "--set recipe.early_stopping.patience=10"),
        ("recipe.growth_rate=12", "--set growth_rate=12"),
        ("recipe.height=12", "--set input.height=12"),
        ("height=12", "--set input.height=12"),
    ],
)
def test_what_was_typed_is_given_back_as_it_must_be_typed(text, hint):
    """Below another part, without `recipe.`, with others' words, or a kind for a part."""
    code, found = typed(text)
    assert code in ("S001", "S003")
    assert found == hint


def parts_with_a_kind():
    return sorted({path[0] for path in walk_keys(Recipe) if path[1:] == ("kind",)})


@pytest.mark.parametrize("part", parts_with_a_kind())
def test_a_word_for_a_part_of_a_recipe_is_its_kind(part):
    """With and without `recipe.`, whichever part has kinds."""
    assert typed(f"{part}=other") == ("S001", f"--set recipe.{part}.kind=other")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("learning_rate: 0.1", "write schedule.learning_rate"),
        ("wd: 0.1", "write optimizer.weight_decay"),
        ("optimizer: {lr: 0.1}", "write schedule.learning_rate"),
        ("growth_rate: 3", "write growth_rate in the spec"),
        ("foo: 3", "known keys"),
    ],
)
def test_a_key_of_a_file_is_led_to_its_place(text, hint, tmp_path):
    """In the recipe, or in the spec beside it."""
    (tmp_path / "recipe.yaml").write_text(f"extends: digits\n{text}\n")
    code, found = hint_of(lambda: load_recipe(tmp_path / "recipe.yaml"))
    assert (code, found[: len(hint)]) == ("S001", hint)


def test_a_key_of_the_spec_alone_is_said_to_be_the_recipes(tmp_path):
    """Where no recipe is read beside it too; those that it names exist."""
    assert hint_of(lambda: load_spec("densenet121", ["lr=0.1"]))[1] == (
        "write schedule.learning_rate (in the recipe)"
    )
    known = {".".join(path) for path in walk_keys(Recipe)}
    assert {*KEYS_OF_RECIPES.values()} <= known


def test_a_key_that_stands_at_several_places_is_led_to_none():
    """Nobody knows which was meant."""
    twice = [path for path in walk_keys(Recipe) if path[-1] == "name"]
    assert len(twice) == 1
    assert find_key("name", "x", Recipe) == ("name",)
    assert find_key("channels", 3, type(load_spec("densenet121"))) == ()


def test_others_words_lead_to_keys_that_exist():
    """Each of them."""
    known = {".".join(path) for path in walk_keys(Recipe)}
    assert {path for path in FOREIGN_KEYS.values() if path not in known} == set()


SPEC, RECIPE = "growth_rate: 12\nblock_config: [2]\n", "epochs: 3\nbatch_size: 2\n"


@pytest.mark.parametrize(
    ("load", "text", "what"),
    [
        (load_recipe, SPEC, "is a spec, not a recipe"),
        (
            load_recipe,
            "extends: densenet121\ndrop_rate: 0.1\n",
            "densenet121 is a spec, not a recipe",
        ),
        (load_spec, RECIPE, "is a recipe, not a spec"),
        (load_spec, "extends: mnist\n", "mnist is a recipe, not a spec"),
    ],
)
def test_a_file_of_the_other_kind_is_said_to_be_one(load, text, what, tmp_path):
    """Once, not key by key; and where it belongs."""
    file = tmp_path / "file.yaml"
    file.write_text(text)
    with pytest.raises(SpecError) as caught:
        load(file)
    (fault,) = caught.value.diagnostics
    assert (fault.code, fault.message) == ("S010", what)
    assert fault.where.startswith(str(file))
    assert "densenet train SPEC --recipe RECIPE" in fault.hint


@pytest.mark.parametrize(
    ("load", "name", "what"),
    [
        (load_recipe, "densenet121", "densenet121 is a spec, not a recipe"),
        (load_spec, "imagefolder", "imagefolder is a recipe, not a spec"),
    ],
)
def test_a_shipped_name_of_the_other_kind_is_said_to_be_one(load, name, what):
    """No nearest name is proposed."""
    with pytest.raises(SpecError, match=f"S010 {what}"):
        load(name)


def test_a_spec_with_a_stray_key_of_recipes_is_still_a_spec(tmp_path):
    """And the other way round: the key is at fault, not the file."""
    file = Path(tmp_path / "file.yaml")
    file.write_text(SPEC + "epochs: 3\n")
    assert hint_of(lambda: load_spec(file))[0] == "S001"
    file.write_text("extends: mnist\ngrowth_rate: 3\n")
    assert hint_of(lambda: load_recipe(file))[0] == "S001"
