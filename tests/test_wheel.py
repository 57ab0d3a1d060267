"""The built wheel, installed apart from the checkout, is the command with every shipped spec."""

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
FOREIGN = '"""Labels of CPU architectures, as in the base environment of conda."""\nname = "zen4"\n'
BUILDERS = {
    "build": ("build", "--wheel", "--no-isolation", "--outdir"),
    "pip": ("pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir"),
}


def run(*arguments: object, cwd: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *map(str, arguments)]
    env = {**os.environ, **environment}
    return subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=600, check=False
    )


def is_program(name: str) -> bool:
    """Return whether `python -m NAME` works: a folder `build` beside the package is none."""
    found = importlib.util.find_spec(name)
    return found is not None and found.origin is not None


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel without the network."""
    builder = next(filter(is_program, BUILDERS), None)
    if builder is None or importlib.util.find_spec("hatchling") is None:
        pytest.skip("neither build nor pip is here, or no hatchling: pip install -e '.[dev]'")
    folder = tmp_path_factory.mktemp("wheel")
    done = run("-m", *BUILDERS[builder], folder, ROOT, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unpack the wheel as pip installs it, into a folder of its own."""
    if importlib.util.find_spec("pip") is None:
        pytest.skip("there is no pip to install with")
    target = tmp_path_factory.mktemp("target")
    done = run(
        "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, wheel, cwd=target
    )
    assert done.returncode == 0, done.stderr
    return target


def only_file(wheel: Path, ending: str) -> str:
    """The text of the one file of the wheel's metadata that ends so."""
    with zipfile.ZipFile(wheel) as file:
        (name,) = [name for name in file.namelist() if name.endswith(f".dist-info/{ending}")]
        return file.read(name).decode()


def test_specs_and_recipes_lie_inside_the_package(wheel):
    """As archspec/specs, all of them, and never as a top-level package."""
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = {f"archspec/{file.relative_to(ROOT)}" for file in (ROOT / "specs").rglob("*.yaml")}
    assert (
        {"archspec/specs/densenet121.yaml", "archspec/specs/recipes/digits.yaml"}
        <= shipped
        <= names
    )
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"archspec", "densenet_cli"}


def test_the_wheel_holds_every_module_and_no_tests(wheel):
    """What the checkout imports is there as well."""
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {
        str(file.relative_to(ROOT))
        for top in ("archspec", "densenet_cli")
        for file in (ROOT / top).rglob("*.py")
    }
    assert modules <= names
    assert not [name for name in names if "test" in name]


def test_type_checkers_are_told_that_both_packages_have_types(wheel):
    """Without the marker of PEP 561 they take every name of ours for Any."""
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"archspec/py.typed", "densenet_cli/py.typed"} <= names


def test_the_wheel_brings_its_licence_and_names_it(wheel):
    """The whole text, and its name as an SPDX expression."""
    text = only_file(wheel, "licenses/LICENSE")
    assert "License-Expression: Apache-2.0" in only_file(wheel, "METADATA").splitlines()
    assert text == (ROOT / "LICENSE").read_text()
    assert text.split()[:3] == ["Apache", "License", "Version"]


def test_a_citation_names_the_version_of_the_wheel(wheel):
    """And the licence: they stand in pyproject.toml and in CITATION.cff."""
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    fields = only_file(wheel, "METADATA").splitlines()
    assert f"Version: {cited['version']}" in fields
    assert f"License-Expression: {cited['license']}" in fields


def test_the_installed_command_knows_the_shipped_specs_from_any_directory(installed, tmp_path):
    """Its own archspec, not the checkout's; the published counts of DenseNet-121."""
    where = run(
        "-c", "import archspec; print(archspec.__file__)", cwd=tmp_path, PYTHONPATH=str(installed)
    )
    assert Path(where.stdout.strip()).parent == installed / "archspec"
    (command,) = (installed / "bin").glob("densenet")
    done = run(command, "inspect", "densenet121", "--json", cwd=tmp_path, PYTHONPATH=str(installed))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["name"], found["params"], found["edges"]) == ("densenet121", 7_978_856, 535)


def test_the_installed_command_checks_every_shipped_spec_and_plans_a_run(installed, tmp_path):
    """Specs and recipes are found in the installed package alone."""
    specs = sorted(file.stem for file in (installed / "archspec/specs").glob("*.yaml"))
    command = installed / "bin/densenet"
    done = run(command, "check", *specs, cwd=tmp_path, PYTHONPATH=str(installed))
    assert (done.returncode, done.stdout.count(": right, ")) == (0, len(specs))
    assert (
        run(command, "train", "--dry-run", cwd=tmp_path, PYTHONPATH=str(installed)).returncode == 0
    )


def test_a_foreign_package_of_the_same_name_is_noticed(installed, tmp_path):
    """E005 in one line that names the folder and the cure, exit 1."""
    (tmp_path / "conda/archspec").mkdir(parents=True)
    (tmp_path / "conda/archspec/__init__.py").write_text(FOREIGN)
    path = f"{tmp_path / 'conda'}{os.pathsep}{installed}"
    done = run("-m", "densenet_cli", "--help", cwd=tmp_path, PYTHONPATH=path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        f"E005 another package is imported as 'archspec' ({tmp_path}/conda/archspec)"
    )
    assert "install densenet-archspec into an environment of its own" in done.stderr
    assert done.stderr.count("\n") == 1
