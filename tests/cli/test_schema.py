"""`densenet schema`: what loads is right by it, what is wrong by its types, ranges,
choices and keys is not.
"""

import json
import os
import re
from pathlib import Path
from typing import get_args

import pytest
from conftest import densenet, passed, refused

from archspec.errors import SpecError
from archspec.spec.connectivity import RuleName
from archspec.spec.load import load_spec
from archspec.spec.reading.yaml_reader import read_file, read_value
from archspec.spec.schema import schema_of, templates_schema
from archspec.spec.spec import Spec
from archspec.spec.templates import load_templates
from archspec.train.recipe.recipe import Recipe

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = {"spec": schema_of(Spec), "recipe": schema_of(Recipe), "templates": templates_schema()}
FOLDERS = {
    "spec": ROOT / "specs",
    "recipe": ROOT / "specs/recipes",
    "templates": ROOT / "specs/templates",
}
SHIPPED = [
    (kind, path) for kind, folder in FOLDERS.items() for path in sorted(folder.glob("*.yaml"))
]
EXAMPLES = [
    text
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for text in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    if page.name != "extending.md"  # whose spec needs the row beside it
]
# Faults that a schema sees: S001 unknown key, S002 missing, S003 type, S004 range, S005 choice.
OF_A_SCHEMA = re.compile(r"# expect: \d+:\d+ S00[1-5] ")
INVALID = [
    path
    for path in sorted((ROOT / "tests/invalid").glob("*.yaml"))
    if OF_A_SCHEMA.search(path.read_text())
]
BASE = "growth_rate: 8\nblock_config: [2]\n"


def judge(value, schema):
    """By a validator that is not ours."""
    jsonschema = pytest.importorskip("jsonschema", reason="the package jsonschema is not installed")
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema).is_valid(value)


def written(text):
    return read_value(text, "test").value


# ---- what is right


@pytest.mark.parametrize(
    ("kind", "path"), SHIPPED, ids=[f"{kind}-{path.stem}" for kind, path in SHIPPED]
)
def test_shipped_files_are_right_by_their_schema(kind, path):
    """Specs, recipes and templates, as they are written."""
    assert judge(read_file(path).value, SCHEMAS[kind])


@pytest.mark.parametrize("text", EXAMPLES)
def test_examples_of_the_pages_are_right_by_the_schema(text):
    """Each is a spec or a recipe."""
    assert judge(written(text), SCHEMAS["recipe" if "cifar_paper" in text else "spec"])


@pytest.mark.parametrize(
    "name", ["densenetbc_digits", "hardnet39ds", "peleenet", "fcdensenet103", "cspdensenet121"]
)
def test_a_resolved_spec_is_right_by_the_schema(name):
    """What `build` saves can be edited as what people write."""
    assert judge(json.loads(json.dumps(load_spec(name).resolved())), SCHEMAS["spec"])


SHORT_FORMS = [
    "head: pooled",
    "stem: two_way",
    "stem: [norm, activation, conv: {width: 2k, kernel: 3}]",
    "transition: none",
    "transitions: [none, [avg_pool: {kernel: 2, stride: 2}], {channels: 8}]",
    "activation: silu",
    "norm: layer",
    "norm: {kind: group, groups: 8}",
    "connectivity: log",
    "connectivity: {window: 3, output: [1, 2]}",
    "layer: [squeeze_excite, norm: , activation: gelu, conv: {width: k/2, kernel: 3, "
    "groups: depthwise}]",
    "layer: [norm: , {name: x, dropout: }, {name: a.b, norm: group}]",
    "layer: [branches: {join: add, of: [[], [global_pool: {keep: true}, dropout]]}]",
    "transitions: [{skip: stem}]",
]


@pytest.mark.parametrize("text", SHORT_FORMS)
def test_short_forms_are_right_by_the_schema(text):
    """They load, at least up to rules between fields, and an editor does not mark them."""
    assert judge(written(f"{BASE}{text}\n"), SCHEMAS["spec"])


# ---- what is wrong


@pytest.mark.parametrize("path", INVALID, ids=[path.stem for path in INVALID])
def test_invalid_files_are_wrong_by_the_schema(path):
    """Each whose fault is a key, a type, a range or a choice."""
    assert not judge(read_file(path).value, SCHEMAS["spec"])


WRONG = [
    "blocks: [{layers: 2}]",
    "layer: bottelneck",
    "layer: []",
    "layer: [conv]",
    "layer: [max_pool: ]",
    "layer: [{conv: {kernel: 3}, norm: }]",
    "layer: [{name: alone}]",
    "layer: [conv: {width: 2q, kernel: 3}]",
    "layer: [conv: {width: 0, kernel: 3}]",
    "layer: [conv: {width: true, kernel: 3}]",
    "stem: pooled",
    "head: two_way",
    "transitions: [pooled]",
    "connectivity: star",
    "connectivity: {edges: [[-1]]}",
    "activation: {kind: silu, gamma: 1}",
    "norm: {kind: batch, eps: 0}",
    "blocks: [{growth_rate: 8}]",
    *(
        f"blocks: [{{layers: 2, layer_at: {at}}}]"
        for at in ("{1: bsaic}", "{0: basic}", "{x: basic}", "{1: []}", "[]")
    ),
    "features: 1",
    "transitions: [{skip: root}]",
]


@pytest.mark.parametrize("text", WRONG)
def test_what_does_not_load_is_wrong_by_the_schema(text, tmp_path):
    """The loader and the editor agree."""
    base = "growth_rate: 8\n" if text.startswith("blocks") and text != WRONG[0] else BASE
    assert not judge(written(f"{base}{text}\n"), SCHEMAS["spec"])
    (tmp_path / "wrong.yaml").write_text(f"{base}{text}\n")
    with pytest.raises(SpecError):
        load_spec(tmp_path / "wrong.yaml")


@pytest.mark.parametrize(
    "text", ["name: x", "epochs: 1", "epochs: 0\nbatch_size: 8", "extends: digits\nlr: 1"]
)
def test_a_wrong_recipe_is_wrong_by_the_schema(text):
    """Missing keys, a range, an unknown key."""
    assert not judge(written(text), SCHEMAS["recipe"])


# ---- the schema itself, and where it is


def parts(schema):
    if isinstance(schema, dict):
        yield schema
    for part in (
        schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    ):
        yield from parts(part)


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_key_is_described(kind):
    """An editor shows the words beside the key; pydantic's titles would be noise there."""
    found = [part for part in parts(SCHEMAS[kind]) if part.get("additionalProperties") is False]
    fields = [(key, field) for part in found for key, field in part["properties"].items()]
    assert [key for key, field in fields if not field.get("description")] == []
    assert [key for key, field in fields if "\n" in field["description"] or "title" in field] == []
    assert len(fields) > 15


@pytest.mark.parametrize(
    "names", [[*load_templates("stems")], [*load_templates("heads")], [*get_args(RuleName)]]
)
def test_names_of_templates_and_rules_complete(names):
    """They stand in the schema as choices, in the long form and alone."""
    assert json.dumps(SCHEMAS["spec"]).count(json.dumps(names)) == 2


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_shipped_schema_is_in_step(kind):
    """RENEW_GOLDEN=1 renews it."""
    file = ROOT / f"specs/schema/{kind}.json"
    text = json.dumps(SCHEMAS[kind], indent=2) + "\n"
    if os.environ.get("RENEW_GOLDEN") == "1":
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("kind", "path"), SHIPPED, ids=[f"{kind}-{path.stem}" for kind, path in SHIPPED]
)
def test_shipped_files_name_their_schema_in_the_first_line(kind, path):
    """Relative, so that it is found in a checkout and in an installed package."""
    first = path.read_text().splitlines()[0]
    named = path.parent / first.removeprefix("# yaml-language-server: $schema=")
    assert named.resolve() == (ROOT / f"specs/schema/{kind}.json").resolve()


def test_every_choice_of_a_template_or_a_list_names_the_templates():
    """None is left to be any text."""
    choices = [
        part["oneOf"]
        for part in parts(SCHEMAS["spec"])
        if "oneOf" in part and "required" not in part["oneOf"][0]
    ]
    assert [choice for choice in choices if {"type": "string"} in choice] == []


@pytest.mark.parametrize("kind", ["spec", "recipe"])
def test_the_command_prints_or_writes_the_schema(kind, tmp_path):
    """The same text; it says how to name it in a spec beside it."""
    assert json.loads(passed(densenet("schema", kind, cwd=tmp_path))) == SCHEMAS[kind]
    said = passed(densenet("schema", kind, "-o", "s.json", cwd=tmp_path))
    assert "# yaml-language-server: $schema=s.json" in said
    assert json.loads((tmp_path / "s.json").read_text()) == SCHEMAS[kind]


def test_a_schema_that_cannot_be_written_is_an_error_in_a_line(tmp_path):
    """The folder does not exist."""
    refused(
        densenet("schema", "-o", "no/s.json", cwd=tmp_path),
        "no/s.json W002 cannot be written: No such file",
    )
