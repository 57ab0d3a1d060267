"""What a recipe may say of recomputation, in short and in long."""

import pytest

from archspec.errors import SpecError
from archspec.train.recipe.recipe import load_recipe
from archspec.train.recipe.recompute import bytes_of

FORMS = {
    "short": "recompute: layer",
    "long": "recompute: {kind: layer}",
    "in place of a parent's": "extends: parent\nrecompute: layer",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_kind_alone_is_short_for_it(tmp_path, form):
    """In a file, in one that extends another, on the command line."""
    plain = "epochs: 1\nbatch_size: 4\n"
    (tmp_path / "parent.yaml").write_text(f"{plain}recompute: {{kind: auto, memory: 8GB}}\n")
    file = tmp_path / "mine.yaml"
    own = FORMS[form].replace("parent", "parent.yaml") if "extends" in FORMS[form] else FORMS[form]
    file.write_text(own if "extends" in own else plain + own)
    expected = {"kind": "layer"}
    assert load_recipe(file).resolved()["recompute"] == expected
    for override in ("recompute=layer", "recompute={kind: layer}", "recompute.kind=layer"):
        assert load_recipe(tmp_path / "parent.yaml", [override]).resolved()["recompute"] == expected


KINDS = "must be one of 'none', 'concat', 'layer', 'block' or 'auto'"
SIZE = "must be a size such as 8GB or 800MB"
FAULTS = {
    "recompute=layers": f"recompute (=layers) {KINDS}",
    "recompute=true": f"recompute (=true) {KINDS}",
    "recompute={kind: auto, memory: 8}": f"recompute.memory (=8): {SIZE}",
    "recompute={kind: auto, memory: 8GiB}": f"recompute.memory (=8GiB): {SIZE}",
    "recompute={kind: auto, memory: 0GB}": f"recompute.memory (=0GB): {SIZE}",
    "recompute={kind: layer, memory: 8GB}": "memory is a setting of the recompute auto, not of",
    "grad_checkpointing=layer": "unknown key 'grad_checkpointing'",
}


@pytest.mark.parametrize("setting", FAULTS)
def test_anything_else_is_refused(setting):
    with pytest.raises(SpecError) as caught:
        load_recipe("digits", [setting])
    (fault,) = caught.value.diagnostics
    assert fault.message.startswith(FAULTS[setting])


def test_sizes_are_in_powers_of_ten():
    assert [bytes_of(size) for size in ("8GB", "1.5 GB", "800MB")] == [8e9, 1.5e9, 8e8]
