"""The documentation tells the truth: its specs load, its commands exist, its codes are the code's."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from archspec.spec.load import load_spec
from archspec.train.recipe import load_recipe

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXT = "\n".join(page.read_text() for page in PAGES)
YAML = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
COMMANDS = re.findall(r"^\$ (densenet [^#\n]*)", TEXT, re.MULTILINE)
# Commands that are quick as they stand; the others are run by the tests of their command.
QUICK = [c.strip() for c in COMMANDS if "--dry-run" in c or "--yaml" in c]


def run(command, cwd):
    arguments = [sys.executable, "-m", "densenet_cli", *shlex.split(command)[1:]]
    return subprocess.run(arguments, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


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
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", sorted({c.split()[1] for c in COMMANDS}))
def test_every_command_that_is_named_exists_and_has_an_example(command, tmp_path):
    """The help of a command shows how to call it."""
    done = run(f"densenet {command} --help", tmp_path)
    assert done.returncode == 0
    assert "Example: densenet" in done.stdout


def test_errors_page_lists_the_codes_of_the_code():
    """No code is undocumented, and none is documented that cannot occur."""
    sources = [*(ROOT / "archspec").rglob("*.py"), *(ROOT / "densenet_cli").glob("*.py")]
    used = {code for file in sources for code in re.findall(r'"([YSGWRDTEN]\d{3})[" ]', file.read_text())}
    listed = set(re.findall(r"^\| ([A-Z]\d{3}) \|", (ROOT / "docs/errors.md").read_text(), re.MULTILINE))
    assert used == listed


def test_python_examples_run():
    """Each program of examples/ ends well."""
    for program in sorted((ROOT / "examples").glob("*.py")):
        done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr


def test_yaml_examples_are_proved_right(tmp_path):
    """Each spec of examples/ passes `densenet check`."""
    for spec in sorted((ROOT / "examples").glob("*.yaml")):
        assert run(f"densenet check {spec}", tmp_path).returncode == 0
