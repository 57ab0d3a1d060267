"""A run goes on with the spec and recipe that it began with, or with others that were accepted."""

import json

import pytest
from segmentation_of_digits import NETWORK, write_digits

from archspec.errors import ArchspecError, ModelFileError, TrainingError
from archspec.graph.build import build_graph
from archspec.graph.digest import structure_digest
from archspec.runtime import prepare
from archspec.train.planning import create, plan_run
from archspec.train.pretrained import read_kept_weights
from archspec.train.run import checkpoint
from archspec.train.run.acceptance import accept_changes
from archspec.train.run.changes import refuse_changes
from archspec.train.run.position import Position
from archspec.train.run.run_directory import Run, open_run
from archspec.weights.formats.weight_files import write_tensors
from archspec.writers.mindspore.create_model import create_model

TINY = ["block_config=[1, 1]", "growth_rate=4"]


@pytest.fixture
def run(tmp_path) -> Run:
    plan = plan_run("densenetbc_digits", spec_overrides=TINY, recipe_overrides=["epochs=40"])
    return create(plan, tmp_path / "run")


def edit(run: Run, name: str, *changes: tuple[str, str]) -> Run:
    """Replace texts in one of the run's files, each of which must be there."""
    text = (run.path / name).read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    (run.path / name).write_text(text)
    return open_run(run.path)


def refused(run: Run) -> list[str]:
    with pytest.raises(TrainingError) as caught:
        refuse_changes(run)
    return [str(fault).replace(f"{run.path}/", "") for fault in caught.value.diagnostics]


def test_a_run_as_it_was_made_goes_on(run):
    """Nothing was edited."""
    refuse_changes(open_run(run.path))


def test_what_changes_no_result_is_no_change(run):
    """A run that took too much memory goes on with less."""
    less, least = "recompute: {kind: layer}", "recompute: {kind: auto, memory: 1GB}"
    edit(run, "recipe.yaml", ("recompute: {kind: none}", less))
    refuse_changes(open_run(run.path))
    edit(run, "recipe.yaml", (less, least), ("epochs: 40", "epochs: 4"))
    (fault,) = refused(run)
    assert "epochs: 40 -> 4" in fault
    assert "recompute" not in fault


def test_comments_order_and_ways_of_writing_are_no_change(run):
    """The values are what counts."""
    lines = (run.path / "recipe.yaml").read_text().splitlines()
    top = [line for line in lines if not line.startswith(("epochs", "batch_size", "seed"))]
    first = ["# mine", "seed: 0", "batch_size:   64 # images", "epochs: 40", ""]
    assert {"seed: 0", "batch_size: 64", "epochs: 40"} <= {*lines}
    (run.path / "recipe.yaml").write_text("\n".join(first + top))
    refuse_changes(open_run(run.path))


def test_every_changed_key_of_both_files_is_named_with_both_values(run):
    """T016 for each file: nested keys, items of lists, keys that came or went."""
    edit(run, "spec.yaml", ("growth_rate: 4", "growth_rate: 8"))
    edit(run, "recipe.yaml", ("epochs: 40", "epochs: 41\ncolour: red"), ("seed: 0\n", ""))
    cure = "(put it back, or go on with it as it is: --accept-changes)"
    spec, recipe = refused(open_run(run.path))
    assert spec.startswith("spec.yaml T016 was changed since the run began: ")
    assert "growth_rate: 4 -> 8" in spec
    assert recipe.startswith("recipe.yaml T016 was changed since the run began: ")
    for words in ("epochs: 40 -> 41", "colour: absent -> red", "seed: 0 -> absent"):
        assert words in recipe
    assert spec.endswith(cure)
    assert recipe.endswith(cure)


def test_a_number_is_not_the_truth_value_that_equals_it(run):
    """1 and true are the same to Python."""
    edit(run, "recipe.yaml", ("seed: 0", "seed: false"))
    assert "seed: 0 -> false" in refused(run)[0]


def test_more_than_five_changes_are_counted(run):
    """The first five in words."""
    kept = run.path / "run.json"
    settings = json.loads(kept.read_text())
    settings["written"]["recipe.yaml"] |= {f"key{number}": number for number in range(12)}
    kept.write_text(json.dumps(settings))
    (fault,) = refused(open_run(run.path))
    assert fault.count("-> absent") == 5
    assert "and 7 more values" in fault


def test_of_a_run_that_kept_nothing_to_compare_with_nothing_is_said(run):
    """It began under an earlier version."""
    kept = run.path / "run.json"
    settings = json.loads(kept.read_text())
    del settings["written"], settings["initial_digest"]
    kept.write_text(json.dumps(settings))
    refuse_changes(edit(run, "recipe.yaml", ("epochs: 40", "epochs: 41")))


def test_changes_that_are_accepted_are_what_the_run_is_from_then_on(run):
    """The module is written anew, the digests are; a certificate of another network is gone."""
    run.certificate.write_text("{}")
    changed = edit(run, "spec.yaml", ("growth_rate: 4", "growth_rate: 8"))
    before, module = changed.settings.structure_digest, changed.network.read_text()
    accepted = accept_changes(changed)
    refuse_changes(accepted)
    digest = structure_digest(build_graph(accepted.spec))
    assert accepted.settings.structure_digest == digest != before
    assert accepted.network.read_text() != module
    assert digest in accepted.network.read_text()
    assert not accepted.certificate.exists()


def test_changes_that_cannot_be_trained_with_are_refused_and_nothing_is_written(run):
    """A batch larger than the data, fewer classes than they have, a key that is none."""
    before = (run.path / "run.json").read_text()
    for name, change, code in (
        ("recipe.yaml", ("batch_size: 64", "batch_size: 2000"), "T007"),
        ("spec.yaml", ("num_classes: 10", "num_classes: 9"), "T005"),
        ("recipe.yaml", ("seed: 0", "seeds: 0"), "S001"),
    ):
        kept = (run.path / name).read_text()
        with pytest.raises(ArchspecError, match=code):
            accept_changes(edit(run, name, change))
        (run.path / name).write_text(kept)
    assert (run.path / "run.json").read_text() == before


def test_a_network_that_does_not_fit_what_was_trained_is_refused(run):
    """R003 names the tensors; a change of the recipe fits."""
    prepare()
    parameters = list(create_model(run.spec).get_parameters())
    checkpoint.save(run.last, parameters, Position(epoch=1, best=0.5))
    before = (run.path / "run.json").read_text()
    with pytest.raises(ModelFileError, match=r"R003 has .* the network needs"):
        accept_changes(edit(run, "spec.yaml", ("growth_rate: 4", "growth_rate: 8")))
    assert (run.path / "run.json").read_text() == before
    edit(run, "spec.yaml", ("growth_rate: 8", "growth_rate: 4"))
    accepted = accept_changes(edit(run, "recipe.yaml", ("epochs: 40", "epochs: 41")))
    assert accepted.recipe.epochs == 41
    refuse_changes(accepted)


def test_changes_of_a_run_that_learns_masks_are_accepted_too(tmp_path):
    """Its network gives classes of pixels."""
    write_digits(tmp_path / "data", train=12, val=4)
    (tmp_path / "network.yaml").write_text(NETWORK)
    plan = plan_run(tmp_path / "network.yaml", data_dir=tmp_path / "data")
    run = create(plan, tmp_path / "run")
    accepted = accept_changes(edit(run, "recipe.yaml", ("batch_size: 8", "batch_size: 4")))
    assert accepted.recipe.batch_size == 4
    refuse_changes(accepted)


def test_weights_to_begin_with_that_were_damaged_since_are_refused(tmp_path):
    """R002, where safetensors itself would read them."""
    prepare()
    tensors = {p.name: p.asnumpy() for p in create_model("densenetbc_digits").get_parameters()}
    write_tensors(tmp_path / "own.safetensors", tensors)
    plan = plan_run("densenetbc_digits", initial=tmp_path / "own.safetensors")
    run = create(plan, tmp_path / "run")
    assert read_kept_weights(run).keys() == tensors.keys()
    raw = bytearray(run.initial.read_bytes())
    raw[-1] ^= 1
    run.initial.write_bytes(raw)
    with pytest.raises(ModelFileError, match="R002 is damaged"):
        read_kept_weights(run)
    run.initial.unlink()
    with pytest.raises(ModelFileError, match="R001"):
        read_kept_weights(run)
