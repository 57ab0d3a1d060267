"""The documentation tells the truth: its specs load, its commands exist,
its codes are the code's.
"""

import os
import re
import shlex
import subprocess
import sys
from itertools import chain, product
from pathlib import Path
from typing import get_args

import pytest
from conftest import densenet
from PIL import Image
from typer.testing import CliRunner

from archspec.connectivity_rules import RULES, count_connections, sources_of_layer
from archspec.graph.build import build_graph
from archspec.operators.table import ACTIVATIONS, JOINS, NORMS, OPERATORS, STEPS, norm_name
from archspec.spec.block import BlockSpec
from archspec.spec.connectivity import ConnectivitySpec
from archspec.spec.load import load_spec
from archspec.spec.spec import Spec
from archspec.spec.steps import (
    ActivationKind,
    BranchesStep,
    GateKind,
    Join,
    NormKind,
    SqueezeExciteStep,
    StepSpec,
)
from archspec.spec.templates import load_templates
from archspec.train.recipe.recipe import load_recipe
from archspec.verifiers.verify import verify
from densenet_cli.app import make_app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LANGUAGE = (ROOT / "docs/spec-language.md").read_text()
TEXT = "\n".join(page.read_text() for page in PAGES)
# What extending.md writes is valid with its row alone: test_extending.py has both.
YAML = [
    text for text in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL) if "softsign" not in text
]
COMMANDS = re.findall(r"^\$ (densenet [^#\n]*)", TEXT, re.MULTILINE)
# Commands that are quick as they stand; the others are run by the tests of their command.
QUICK = [c.strip() for c in COMMANDS if "--dry-run" in c or "--yaml" in c]


# What the README cannot bring along: photographs, somebody's weights, the network's published ones,
# a second process.
NOT_AT_HAND = ("photos", "theirs", "--pretrained", "--devices 2")
# What these do is tested elsewhere too, and learning takes them a while.
SLOW_PROGRAMS = (
    *("custom_callback", "custom_loop", "segmentation", "several_labels", "two_heads"),
)
PROGRAMS = [
    pytest.param(file, id=file.stem, marks=[pytest.mark.slow] * (file.stem in SLOW_PROGRAMS))
    for file in sorted((ROOT / "examples").glob("*.py"))
    if file.stem != "run_onnx"  # which tests/cli/test_export.py runs on an exported network
]
BELOW = (
    "file_kinds",
    "files",
    "mindspore_versions",
    "runtime",
    "screen",
    "shell_words",
    "signals",
    "stored_numbers",
)
ROOM = re.compile(r"from (?:archspec(?:\.| import )(\w+)|(densenet_cli))")


def bring_images(folder):
    """What the pages call IMAGENET: enough images for a step of eight devices."""
    for part, name, number in product(("train", "val"), ("cat", "dog"), range(128)):
        file = folder / "IMAGENET" / part / name / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2), (number, 0, 200 * (part == "val"))).save(file)


def run(command, cwd):
    return densenet(*shlex.split(command)[1:], cwd=cwd)


@pytest.mark.parametrize("text", YAML)
def test_every_yaml_example_is_a_valid_spec_or_recipe(text, tmp_path):
    """A reader may copy any of them."""
    file = tmp_path / "example.yaml"
    file.write_text(text)
    load = load_recipe if "cifar_paper" in text else load_spec
    assert load(file)


@pytest.mark.parametrize("command", QUICK)
def test_quick_commands_run_as_written(command, tmp_path):
    """What the pages say to type exits with 0."""
    if "IMAGENET" in command:
        bring_images(tmp_path)
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_readmes_commands_run_one_after_the_other(tmp_path):
    """From a spec to a certified file, as a reader types them."""
    text = (ROOT / "README.md").read_text()
    (tmp_path / "my_spec.yaml").write_text(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0])
    commands = re.findall(r"^\$ (densenet [^#\n]*)", text, re.MULTILINE)
    commands = [command for command in commands if not any(word in command for word in NOT_AT_HAND)]
    bring_images(tmp_path)
    assert len(commands) == 18
    for command in commands:
        done = run(command, tmp_path)
        assert done.returncode == 0, (command, done.stderr)


def rooms_of(file):
    """The rooms that a file imports, anywhere in it: `spec`, `graph`."""
    lines = (ROOM.match(line.strip()) for line in file.read_text().splitlines())
    return {found[1] or found[2] for found in lines if found}


def test_imports_go_the_way_that_the_architecture_says():
    """No room imports what stands right of it, nor its neighbour between two arrows."""
    page = (ROOT / "docs/architecture.md").read_text()
    line = re.search(r"^    errors <-(?:.|\n)*?\n\n", page, re.MULTILINE)[0]
    order = [step.split(", ") for step in " ".join(line.split()).split(" <- ")]
    for number, step in enumerate(order):
        left = {*BELOW, *chain.from_iterable(order[:number])}
        for room in step:
            folder = ROOT / "densenet_cli" if room == "densenet_cli" else ROOT / "archspec" / room
            for file in folder.rglob("*.py") if folder.is_dir() else [folder.with_suffix(".py")]:
                assert rooms_of(file) <= {*left, room}, file


def files_on_the_map():
    """The files that the architecture's page names as answers to questions."""
    page = (ROOT / "docs/architecture.md").read_text()
    answers = page.partition("## Which file answers")[2].partition("## From a key")[0]
    folder, found = ROOT, set()
    for part in re.findall(r"`([\w/]+(?:\.py|/))`", answers):
        if part.endswith("/") and (ROOT / part).is_dir():
            folder = ROOT / part
        elif part.endswith(".py"):
            found.add((ROOT if part.startswith("archspec/") else folder) / part)
    return found


def test_the_map_of_the_house_names_each_file_and_no_other():
    """A newcomer finds the file by the question."""
    below = {f"{name}.py" for name in BELOW}
    files = {path for path in (ROOT / "archspec").rglob("*.py") if path.name != "__init__.py"}
    on_the_map = files_on_the_map()
    assert [str(path) for path in on_the_map if not path.is_file()] == []
    assert {path.name for path in files - on_the_map} == below


@pytest.mark.parametrize("command", sorted({c.split()[1] for c in COMMANDS}))
def test_every_command_that_is_named_exists_and_has_an_example(command):
    """The help of a command shows how to call it."""
    done = CliRunner().invoke(make_app(), [command, "--help"])
    assert done.exit_code == 0
    assert "Example: densenet" in done.stdout


def test_errors_page_lists_the_codes_of_the_code():
    """No code is undocumented, and none is documented that cannot occur."""
    sources = [*(ROOT / "archspec").rglob("*.py"), *(ROOT / "densenet_cli").glob("*.py")]
    used = {
        code
        for file in sources
        for code in re.findall(r'"([YSGWRDTEN]\d{3})[" ]', file.read_text())
    }
    listed = set(
        re.findall(r"^\| ([A-Z]\d{3}) \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE)
    )
    assert used == listed


@pytest.mark.parametrize("program", PROGRAMS)
def test_python_examples_run(program, digits_run, tmp_path):
    """Each program of examples/ ends well, and says what it has done."""
    words = []
    if program.stem == "fine_tuning":
        words = ["densenetbc_digits", digits_run / "checkpoints/best.ckpt", draw_images(tmp_path)]
    done = subprocess.run(
        [sys.executable, program, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def draw_images(folder):
    """A folder of two classes, told apart by their grey."""
    for number, (name, grey) in enumerate(product(("black", "white"), range(0, 24, 3))):
        place = folder / "images" / name
        place.mkdir(parents=True, exist_ok=True)
        level = grey + 230 * (name == "white")
        Image.new("L", (8, 8), level).save(place / f"{number}.png")
    return folder / "images"


def test_yaml_examples_are_proved_right(tmp_path):
    """Each spec of examples/ passes `densenet check`."""
    for spec in sorted((ROOT / "examples").glob("*.yaml")):
        assert run(f"densenet check {spec}", tmp_path).returncode == 0


def test_contributing_names_files_and_targets_that_exist():
    """A map with a place that has moved misleads."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    paths = re.findall(r"`((?:archspec|densenet_cli|tests|specs|benchmarks)\b[\w/.]*)`", text)
    targets = re.findall(r"\bmake ([a-z-]+)`", text)
    assert len(paths) > 10
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert {*targets} <= {
        *re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    }
    assert {"test", "test-all", "docs", "coverage"} <= {*targets}


# ---- the page of the spec language


@pytest.mark.parametrize("text", re.findall(r"```yaml\n(.*?)```", LANGUAGE, re.DOTALL))
def test_every_spec_of_the_language_page_is_proved_right(text, tmp_path):
    """Built, and no verifier finds a fault."""
    file = tmp_path / "example.yaml"
    file.write_text(text)
    assert verify(build_graph(load_spec(file))) == ()


def test_commands_of_the_language_page_run_one_after_the_other(tmp_path):
    """As a reader types them."""
    commands = re.findall(r"^\$ (densenet [^#\n]*)", LANGUAGE, re.MULTILINE)
    assert len(commands) == 4
    for command in commands:
        done = run(command, tmp_path)
        assert done.returncode == 0, done.stderr


def rows(*headings):
    """The cells of the rows below a table's headings."""
    table = LANGUAGE.partition(f"| {' | '.join(headings)}")[2]
    lines = table.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def names(cell):
    return re.findall(r"`(\w+)", cell)


@pytest.mark.parametrize(
    ("heading", "known"),
    [
        ("key", {*Spec.model_fields, "block_config"}),
        ("step", {*StepSpec.model_fields} - {"name"}),
        ("rule", RULES),
        *(
            (f"`{part}:`", load_templates(f"{part}s"))
            for part in ("layer", "stem", "transition", "head")
        ),
    ],
)
def test_a_table_of_the_language_page_is_complete(heading, known):
    """Every key, step, rule and template has a row, and no other."""
    assert {name for row in rows(heading) for name in names(row[0])} == {*known}


def said(default):
    """A default as people write it."""
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)


def line_of_step(name):
    """The line of a step that is an operator, from its row."""
    step, settings = STEPS[name].step, []
    for key, field in step.settings.model_fields.items():
        default = "must be said" if field.is_required() else field.default
        settings.append(f"`{key}`" if default is None else f"`{key}` ({said(default)})")
    return f"| `{name}` | {', '.join(settings)} | {step.note} |"


def line_of_setting(kind):
    """The line of an activation or a norm."""
    row = OPERATORS[kind]
    settings = ", ".join(f"`{key}` ({said(value)})" for key, value in row.settings.items())
    return f"| `{norm_name(kind)}` | {settings} | {row.about} |"


def line_of_join(kind):
    row = OPERATORS[kind]
    return f"| `{kind}` | {'two or more' if row.arity is None else 'two'} | {row.about} |"


def settings_of(model, **choices):
    """The settings of a step that is no one operator, with what else some of them may be."""
    cells = []
    for key, field in model.model_fields.items():
        usual = getattr(field.default, "kind", field.default)
        others = [kind for kind in get_args(choices.get(key)) if kind != usual]
        told = f"{usual}; or {', '.join(others)}" if others else usual
        cells.append(f"`{key}` ({'must be said' if field.is_required() else told})")
    return ", ".join(cells)


OF_SEVERAL = {
    "squeeze_excite": settings_of(SqueezeExciteStep, gate=GateKind),
    "branches": settings_of(BranchesStep, join=Join),
}
"""Settings of steps of several operators: their defaults, and which gates and joins there are."""


def with_settings(line):
    """A line of the page that no row makes, of a step of several operators with its settings."""
    first, name, settings, *words = line.split("|")
    (of_several,) = [OF_SEVERAL[step] for step in names(name) if step in OF_SEVERAL] or [settings]
    return "|".join((first, name, f" {of_several.strip()} ", *words))


@pytest.mark.parametrize(
    ("heading", "lines"),
    [
        ("step", {name: line_of_step(name) for name in STEPS}),
        ("activation", {kind: line_of_setting(kind) for kind in ACTIVATIONS}),
        ("norm", {norm_name(kind): line_of_setting(kind) for kind in NORMS}),
        ("join", {kind: line_of_join(kind) for kind in JOINS}),
    ],
)
def test_a_table_of_operators_says_what_the_rows_say(heading, lines):
    """Each line is made from its row; RENEW_GOLDEN=1 writes them into the page."""
    page = ROOT / "docs/spec-language.md"
    text = page.read_text(encoding="utf-8")
    before, opening, after = text.partition(f"| {heading} |")
    table, blank, rest = after.partition("\n\n")
    head, rule, *given = table.split("\n")
    own = [line for line in given if not {*names(line.split("|")[1])} & {*lines}]
    made = "\n".join([head, rule, *lines.values(), *map(with_settings, own)])
    if os.environ.get("RENEW_GOLDEN"):
        page.write_text(before + opening + made + blank + rest, encoding="utf-8")
    else:
        assert table == made


def test_the_table_of_rules_counts_right():
    """Sources of layer 12, connections of 16 layers."""
    for rule, *_, of_layer, of_block in rows("rule"):
        (name, *_) = names(rule)
        if name == "edges":
            continue
        wiring = ConnectivitySpec(rule=name, window=3 if name == "window" else None)
        assert ", ".join(map(str, sources_of_layer(wiring, 12))) == of_layer
        assert str(count_connections(wiring, 16)) == of_block


def test_the_language_page_names_every_kind_of_norm_and_activation_and_setting_of_a_block():
    """A reader has no other page."""
    named = {*names(LANGUAGE)}
    known = {
        *get_args(NormKind),
        *get_args(ActivationKind),
        *BlockSpec.model_fields,
        *ConnectivitySpec.model_fields,
    }
    assert known - named == {"rule"}
