"""Recipes are read as specs are: the same errors, the same inheritance, the same overrides."""

import pytest

from archspec.errors import SpecError
from archspec.train.recipe import Recipe, load_recipe
from archspec.writers.whole import to_yaml

SHIPPED = ("digits", "imagefolder", "cifar_paper", "mnist")


def faults_of(tmp_path, text):
    file = tmp_path / "recipe.yaml"
    file.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_recipe(file)
    return [str(fault).replace(str(file), "recipe.yaml") for fault in caught.value.diagnostics]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipes_read_back_from_what_a_run_saves(name, tmp_path):
    """The resolved recipe is the same recipe, nothing left to look up."""
    recipe = load_recipe(name)
    (tmp_path / "again.yaml").write_text(to_yaml(recipe.resolved()))
    assert load_recipe(tmp_path / "again.yaml") == recipe


def test_the_papers_recipe_is_the_papers():
    """Section 4.2 of arXiv 1608.06993: 300 epochs of 64, SGD 0.1, Nesterov 0.9, decay 1e-4, steps at 50 and 75 %."""
    recipe = load_recipe("cifar_paper")
    assert (recipe.epochs, recipe.batch_size) == (300, 64)
    assert (recipe.optimizer.momentum, recipe.optimizer.nesterov, recipe.optimizer.weight_decay) == (0.9, True, 1e-4)
    assert (recipe.schedule.kind, recipe.schedule.learning_rate) == ("step", 0.1)
    assert (recipe.schedule.milestones, recipe.schedule.factor) == ((0.5, 0.75), 0.1)


def test_every_fault_is_reported_at_once_with_file_line_and_column(tmp_path):
    """Typos with the nearest key, values out of range, wrong types, words that are no choice."""
    text = (
        "name: mine\nextends: digits\nepoch: 3\nbatch_size: 0\noptimizer: {momentum: 1.5, nesterov: 1}\n"
        "schedule:\n  kind: linear\ndata: {std: [0]}\nseed: many\n"
    )
    found = sorted(faults_of(tmp_path, text))
    starts = [
        "recipe.yaml:3:1 S001 unknown key 'epoch' (did you mean 'epochs'?)",
        "recipe.yaml:4:13 S004 batch_size (=0)",
        "recipe.yaml:5:23 S004 optimizer.momentum (=1.5)",
        "recipe.yaml:5:38 S003 optimizer.nesterov (=1)",
        "recipe.yaml:7:9 S005 schedule.kind (=linear)",
        "recipe.yaml:8:14 S004 data.std",
        "recipe.yaml:9:7 S003 seed (=many)",
    ]
    assert [line[: len(start)] for line, start in zip(found, starts, strict=True)] == starts


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("extends: digits\nschedule: {learning_rate: .nan}\n", "S00"),
        ("extends: digits\nepochs: 3\nepochs: 4\n", "Y009"),
        ("", "Y004"),
        ("extends: no_such_recipe\n", "S010"),
        ("batch_size: 3\n", "S002 missing"),
        ("extends: digits\noptimizer: []\n", "S003"),
    ],
    ids=["nan", "duplicate", "empty", "unknown parent", "missing key", "list for a section"],
)
def test_broken_recipes_give_the_codes_of_specs(text, word, tmp_path):
    """One reader serves both."""
    found = faults_of(tmp_path, text)
    assert len(found) == 1
    assert word.partition(" ")[0] in found[0]
    assert found[0].startswith("recipe.yaml")


def test_overrides_reach_nested_keys_and_leave_the_rest(tmp_path):
    """As `--set recipe.x=y` gives them."""
    recipe = load_recipe("digits", ["epochs=2", "schedule.learning_rate=0.3", "data.augment=none"])
    plain = load_recipe("digits")
    assert (recipe.epochs, recipe.schedule.learning_rate, recipe.data.augment) == (2, 0.3, "none")
    assert (recipe.schedule.kind, recipe.data.mean) == (plain.schedule.kind, plain.data.mean)
    assert plain.epochs == 30


def test_an_override_that_leads_nowhere_is_named():
    """With the nearest key."""
    with pytest.raises(SpecError, match=r"--set epoch=3 S001 unknown key 'epoch' \(did you mean 'epochs'\?\)"):
        load_recipe("digits", ["epoch=3"])


def test_a_recipe_cannot_be_changed():
    """Values are frozen, as the digests of a run rely on."""
    with pytest.raises(ValueError, match="frozen"):
        Recipe(epochs=1, batch_size=1).epochs = 2
