"""`densenet recipe`: recipes listed, shown, begun, and read from MindCV's files."""

import json
import re
from pathlib import Path

import pytest
from conftest import densenet, passed, refused

from archspec.spec.catalogue import shipped
from archspec.spec.reading.misplaced_keys import walk_keys
from archspec.train.recipe.ineffective_settings import find_meaningless
from archspec.train.recipe.recipe import Recipe, load_recipe
from densenet_cli.commented_yaml import COLUMNS
from densenet_cli.options import complete_recipe
from densenet_cli.recipe import write_starting_recipe

MINDCV = Path(__file__).parents[1] / "cases" / "mindcv"


def test_list_says_of_each_shipped_recipe_what_it_is_for(no_mindspore, tmp_path):
    """From its own first lines, with the numbers that it reads to."""
    text = passed(densenet("recipe", "list", cwd=tmp_path, env=no_mindspore))
    assert [name for name in shipped("recipe") if f"\n{name} " not in text] == []
    rows = json.loads(passed(densenet("recipe", "list", "--json", cwd=tmp_path)))
    assert [row["name"] for row in rows] == [*shipped("recipe")]
    by_name = {row["name"]: row for row in rows}
    assert by_name["imagenet_paper"] == {
        "name": "imagenet_paper",
        "about": "The paper's recipe for ImageNet.",
        "learning_rate": 0.1,
        "schedule": "step",
        "epochs": 90,
        "batch": 256,
        "source": load_recipe("imagenet_paper").source,
    }
    assert [row["name"] for row in rows if len(row["about"]) < 20 or "#" in row["about"]] == []


def test_show_prints_what_reads_back_as_the_same_recipe(no_mindspore, tmp_path):
    """A child with all that it extends; as JSON too."""
    text = passed(densenet("recipe", "show", "cifar_paper_plain", cwd=tmp_path, env=no_mindspore))
    (tmp_path / "again.yaml").write_text(text)
    recipe = load_recipe("cifar_paper_plain")
    assert load_recipe(tmp_path / "again.yaml") == recipe
    shown = passed(densenet("recipe", "show", "again.yaml", "--json", cwd=tmp_path))
    assert json.loads(shown) == recipe.resolved()


def test_new_writes_a_file_that_is_the_recipe_it_extends(no_mindspore, tmp_path):
    """Under its own name; a path is said from the file's folder, and nothing is overwritten."""
    said = passed(densenet("recipe", "new", "mine.yaml", cwd=tmp_path, env=no_mindspore))
    assert said == "wrote mine.yaml\nNext: densenet train --recipe mine.yaml --dry-run\n"
    expected = {**load_recipe("imagefolder").resolved(), "name": "mine"}
    assert load_recipe(tmp_path / "mine.yaml").resolved() == expected
    (tmp_path / "sub").mkdir()
    arguments = ("sub/other.yaml", "--extends", "mine.yaml")
    passed(densenet("recipe", "new", *arguments, cwd=tmp_path, env=no_mindspore))
    expected["name"] = "other"
    assert load_recipe(tmp_path / "sub/other.yaml").resolved() == expected
    again = densenet("recipe", "new", *arguments, cwd=tmp_path, env=no_mindspore)
    refused(again, "sub/other.yaml W002 exists, and is not overwritten")


@pytest.mark.parametrize("name", ["imagefolder", "cifar_paper", "imagenet_ascend"])
def test_a_new_file_has_every_key_with_its_value_and_words(name, tmp_path):
    """Whatever is uncommented, one part at a time or all of it, is the same recipe still."""
    recipe = load_recipe(name)
    text = write_starting_recipe(recipe, name)
    for path in walk_keys(Recipe):
        assert re.search(rf"^[# ]*{path[-1]}:", text, re.MULTILINE), path
    assert [line for line in text.splitlines() if len(line) > COLUMNS] == []
    before = re.findall(r"^(.*)\n#?[a-z_]+:.*$", text, re.MULTILINE)
    assert [line for line in before[2:] if not re.match("# .{2}", line)] == []
    file = tmp_path / f"{name}.yaml"
    meaningless = {path[-1] for path in find_meaningless(recipe)}
    for part in ("schedule", "data", "epochs"):
        block = re.search(rf"^#{part}:.*\n(#  .*\n)*", text, re.MULTILINE)[0]
        lines = [line.removeprefix("#") for line in block.splitlines()]
        kept = [line for line in lines if line.split(":")[0].strip() not in meaningless]
        file.write_text(text.replace(block, "\n".join(kept) + "\n"))
        assert load_recipe(file) == recipe


@pytest.mark.parametrize("number", [121, 169])
def test_mindcvs_densenets_come_out_on_the_screen(number, no_mindspore, tmp_path):
    """The recipe alone on stdout, so that it may be redirected; the rest beside it."""
    file = MINDCV / f"densenet_{number}_ascend.yaml"
    done = densenet("recipe", "from-mindcv", file, cwd=tmp_path, env=no_mindspore)
    assert done.returncode == 0, done.stderr
    (tmp_path / "mine.yaml").write_text(done.stdout)
    ours = load_recipe("imagenet_ascend").resolved()
    theirs = load_recipe(tmp_path / "mine.yaml").resolved()
    assert {key for key in ours if ours[key] != theirs[key]} == {"name", "source"}
    first, second, *lines = done.stderr.splitlines()
    assert (first, second) == (f"spec: densenet{number}", "not taken:")
    assert "  data_dir (=/path/to/imagenet): here it is --data-dir" in lines


def test_a_configuration_of_another_network_gives_its_recipe_alone(tmp_path):
    """Written to a file that is never overwritten; the network is said to be unknown."""
    file = MINDCV / "resnet_50_ascend.yaml"
    arguments = ("recipe", "from-mindcv", file, "-o", "mine.yaml", "--devices", 4)
    done = densenet(*arguments, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.startswith("spec: unknown here: resnet50 (densenet list names")
    assert done.stderr.endswith("Next: densenet train SPEC --recipe mine.yaml\n")
    recipe = load_recipe(tmp_path / "mine.yaml")
    assert recipe.global_batch == 4 * recipe.batch_size
    refused(densenet(*arguments, cwd=tmp_path), "mine.yaml W002 exists, and is not overwritten")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("show", "imagefoldr"), "S010 there is no recipe 'imagefoldr'"),
        (("show", "densenet121"), "S010 densenet121 is a spec, not a recipe"),
        (("new", "x.yaml", "--extends", "nothing"), "S010 there is no recipe 'nothing'"),
        (("new", "nowhere/x.yaml"), "nowhere/x.yaml W002 cannot be written: No such file"),
        (("from-mindcv", "nothing.yaml"), "nothing.yaml Y001 cannot be read: No such file"),
        (("from-mindcv", "."), "Y001 cannot be read: Is a directory"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_read_or_written_is_refused(arguments, words, tmp_path):
    """In one line, and nothing is left behind."""
    refused(densenet("recipe", *arguments, cwd=tmp_path), words)
    assert [*tmp_path.iterdir()] == []


def test_names_of_recipes_are_completed():
    """As those of specs are."""
    assert complete_recipe("imagenet") == ["imagenet_ascend", "imagenet_paper"]
    assert complete_recipe("x") == []
