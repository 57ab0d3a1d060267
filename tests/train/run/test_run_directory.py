"""A run directory holds all that is needed to understand,
resume and validate a run, or says what it lacks.
"""

import json
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
import yaml

from archspec.errors import ArchspecError, TrainingError
from archspec.spec.load import load_spec
from archspec.train.recipe.recipe import load_recipe
from archspec.train.run.run_directory import Settings, create_run, name_default_path, open_run

SETTINGS = Settings(
    data_dir=None,
    data_kind="digits",
    classes=tuple("0123456789"),
    device_target="CPU",
    devices=2,
    structure_digest="0" * 64,
    versions={"mindspore": "2.10.0"},
)


def make(path, settings=SETTINGS, **more):
    spec = load_spec("densenetbc_digits", ["growth_rate=16"])
    recipe = load_recipe("digits", ["epochs=3"])
    return create_run(path, spec, recipe, settings, "# network\n", **more)


def fault(action):
    with pytest.raises(TrainingError) as caught:
        action()
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def test_a_run_reads_back_as_it_was_made(tmp_path):
    """Spec, recipe and settings, from any folder; nothing temporary is left."""
    made = make(tmp_path / "run")
    again = open_run(tmp_path / "run")
    assert again.path.is_absolute()
    assert (again.spec, again.recipe) == (made.spec, made.recipe)
    texts = {name: (again.path / name).read_text() for name in ("spec.yaml", "recipe.yaml")}
    assert again.settings.written == {name: yaml.safe_load(text) for name, text in texts.items()}
    assert replace(again.settings, written=None) == SETTINGS
    assert (again.spec.blocks[0].growth_rate or again.spec.growth_rate, again.recipe.epochs) == (
        16,
        3,
    )
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"spec.yaml", "recipe.yaml", "run.json", "network.py", "checkpoints"}


def test_a_run_of_an_older_version_has_one_node(tmp_path):
    """Its run.json knows nothing of nodes; devices are those of the only machine."""
    made = make(tmp_path / "run", replace(SETTINGS, nodes=3))
    assert (made.settings.nodes, made.settings.devices, made.settings.world) == (3, 2, 6)
    file = tmp_path / "run" / "run.json"
    values = json.loads(file.read_text())
    del values["nodes"]
    file.write_text(json.dumps(values))
    older = open_run(tmp_path / "run").settings
    assert (older.nodes, older.devices, older.world) == (1, 2, 2)


def test_an_empty_folder_is_taken_and_a_full_one_refused(tmp_path):
    """T001 names the folder; a file in its place is refused as well; both stay as they are."""
    (tmp_path / "empty").mkdir()
    make(tmp_path / "empty")
    (tmp_path / "file").write_text("mine")
    for name in ("empty", "file"):
        found = fault(lambda name=name: make(tmp_path / name, replace(SETTINGS, devices=1)))
        assert (found.code, found.where) == ("T001", str(tmp_path / name))
        assert "--resume" in found.hint
    assert (tmp_path / "file").read_text() == "mine"
    assert open_run(tmp_path / "empty").settings.devices == 2


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    """Its parent is a file: T002."""
    (tmp_path / "file").write_text("")
    found = fault(lambda: make(tmp_path / "file" / "run"))
    assert (found.code, found.where) == ("T002", str(tmp_path / "file" / "run"))


LARGE = {"weight": np.ones((40, 40, 40), np.float32)}


@pytest.mark.parametrize("name", ["run", "runs/first", "empty"])
@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({}, "T002"),
        ({"certificate": {"text": "x" * 30_000}}, "T002"),
        ({"initial": LARGE}, "W002"),
    ],
)
def test_a_full_disk_at_the_start_is_told_and_nothing_is_left(name, more, code, full_disk):
    """Whatever the file is that finds no room; an empty folder that was there stays."""
    if name == "empty":
        (full_disk / name).mkdir()
    if more:
        (full_disk / "others").write_bytes(bytes(36 * 1024))
    before = sorted(full_disk.rglob("*"))
    with pytest.raises(ArchspecError) as caught:
        make(full_disk / name, **more)
    (fault,) = caught.value.diagnostics
    assert (fault.code, fault.message) == (code, "cannot be written: No space left on device")
    assert fault.where.startswith(str(full_disk / name))
    assert sorted(full_disk.rglob("*")) == before


def test_the_weights_to_begin_with_are_kept_with_their_digest(tmp_path):
    """The sha256 of the file; without such weights there is none."""
    run = make(tmp_path / "run", initial={"weight": np.ones(3, np.float32)})
    assert run.settings.initial_digest == sha256(run.initial.read_bytes()).hexdigest()
    assert make(tmp_path / "other").settings.initial_digest is None


@pytest.mark.parametrize("lost", ["spec.yaml", "recipe.yaml", "run.json"])
def test_a_run_without_one_of_its_files_is_no_run(lost, tmp_path):
    """T004 says which."""
    make(tmp_path / "run")
    (tmp_path / "run" / lost).unlink()
    found = fault(lambda: open_run(tmp_path / "run"))
    assert (found.code, found.where) == ("T004", str(tmp_path / "run"))
    assert found.message.endswith(f"it has no {lost}")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"classes": 3}', "null", '{"classes": [], "colour": 1}', "\0"]
)
def test_settings_that_no_run_writes_are_one_error(text, tmp_path):
    """T004 names the file."""
    make(tmp_path / "run")
    (tmp_path / "run/run.json").write_text(text)
    found = fault(lambda: open_run(tmp_path / "run").settings)
    assert (found.code, found.where) == ("T004", str(tmp_path / "run/run.json"))


def test_settings_of_another_version_with_a_key_more_are_refused_not_guessed(tmp_path):
    """A key that is not known may mean anything."""
    make(tmp_path / "run")
    file = tmp_path / "run/run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "colour": "red"}))
    assert fault(lambda: open_run(tmp_path / "run").settings).code == "T004"


def test_the_default_path_is_named_after_the_spec():
    """And the time, below runs/."""
    path = name_default_path(load_spec("densenetbc_digits"))
    assert path.parent.name == "runs"
    assert path.name.startswith("densenetbc_digits-20")
