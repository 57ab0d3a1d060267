"""What `archspec` offers: the names of `__all__`, all of them, and nothing else."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import archspec

ROOT = Path(__file__).parent.parent
REFERENCE = (ROOT / "docs/api.md").read_text()
DOCUMENTED = re.findall(r"^::: ([\w.]+)$", REFERENCE, re.MULTILINE)
# What takes a while to import, or is large, and is needed for a part of the work alone.
HEAVY = (
    "mindspore numpy scipy sklearn onnx onnxruntime safetensors matplotlib PIL psutil rich typer"
)


def found(path):
    """What a dotted path names, a member of a module."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("name", archspec.__all__)
def test_every_name_that_is_offered_is_there(name):
    """`create_model` too, which is fetched when it is asked for."""
    assert getattr(archspec, name) is not None


def test_nothing_else_is_offered_but_modules():
    """A name that an import left behind would be taken for ours."""
    public = {name for name in vars(archspec) if not name.startswith("_")}
    others = {name for name in public - {*archspec.__all__} if not is_module(name)}
    assert others == set()


def is_module(name):
    return inspect.ismodule(getattr(archspec, name))


def test_names_are_listed_in_order_and_once():
    """In that of `sorted`, capitals first."""
    assert archspec.__all__ == sorted({*archspec.__all__})


def test_an_editor_completes_every_name():
    """Also one that nobody fetched yet."""
    assert dir(archspec) == archspec.__all__


@pytest.mark.parametrize("name", ["create_modle", "numpy", "_private"])
def test_a_name_that_is_not_there_is_missed_as_in_any_module(name):
    """So that `hasattr` and `from archspec import` work."""
    with pytest.raises(AttributeError, match=f"module 'archspec' has no attribute '{name}'"):
        getattr(archspec, name)


def test_importing_the_package_stays_quick():
    """Neither MindSpore nor NumPy, nor what a part of the work alone needs."""
    code = f"import sys, archspec; print(*{{*{HEAVY.split()}}} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_every_name_stands_in_the_reference():
    """By its place in the top package."""
    assert {f"archspec.{name}" for name in archspec.__all__} <= {*DOCUMENTED}


@pytest.mark.parametrize("path", DOCUMENTED)
def test_what_stands_in_the_reference_is_there_and_says_what_it_is(path):
    """A name that has moved is found out here, without building the pages."""
    assert inspect.getdoc(found(path))


@pytest.mark.parametrize("path", DOCUMENTED)
def test_what_is_said_of_parameters_is_said_of_those_that_there_are(path):
    """Else the pages are not built, which no ordinary test does."""
    said = (inspect.getdoc(found(path)) or "").partition("\nArgs:\n")[2].partition("\n\n")[0]
    named = re.findall(r"^    (\S[^:]*):", said, re.MULTILINE)
    assert {*named} <= {*(inspect.signature(found(path)).parameters if named else ())}


def test_nothing_stands_in_the_reference_twice():
    """One place has each name."""
    assert len(DOCUMENTED) == len({*DOCUMENTED})
