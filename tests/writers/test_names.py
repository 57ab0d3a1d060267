"""Names that a step may not have are refused, all at once, before anything is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from archspec.errors import GraphError
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph
from archspec.mindspore_versions import find_mindspore
from archspec.runtime import prepare
from archspec.spec.catalogue import shipped
from archspec.spec.load import load_spec
from archspec.spec.spec import Spec
from archspec.writers.mindspore.create_model import create_network
from archspec.writers.mindspore.module import write_module
from archspec.writers.mindspore.names import CELL_NAMES, find_name_faults

ROOT = Path(__file__).resolve().parents[2]


def named(*names: str) -> Graph:
    steps = [{"name": name, "conv": {"width": "k", "kernel": 1}} for name in names]
    return build_graph(
        Spec.model_validate({"growth_rate": 4, "blocks": [{"layers": 1}], "layer": steps})
    )


def test_the_names_that_are_refused_are_those_of_the_installed_cell() -> None:
    """A new version of MindSpore that adds one is noticed here, and older ones have no others;
    what begins with _ no step may be called.
    """
    prepare()
    from mindspore import nn

    found = {name for name in dir(nn.Cell()) if not name.startswith("_")}
    assert found <= CELL_NAMES
    if find_mindspore().startswith("2.10."):
        assert found == CELL_NAMES


@pytest.mark.parametrize(
    "name", ["phase", "cells", "training", "compile", "construct", "to", "block.phase", "class"]
)
def test_a_name_that_would_replace_a_part_of_every_cell_is_refused(name: str) -> None:
    """W003 at the operator, by the writer and by what makes the network live;
    so are Python's words.
    """
    with pytest.raises(GraphError, match=r"W003 '(\w+)' cannot name an operator") as caught:
        write_module(named(name))
    (fault,) = caught.value.diagnostics
    assert (fault.where, fault.hint) == (
        f"features.denseblock1.denselayer1.{name}",
        "give the step another name",
    )
    with pytest.raises(GraphError, match="W003"):
        create_network(named(name))


def test_all_names_that_cannot_stand_are_told_at_once() -> None:
    """One fault for each operator, and one for an operator that is also where others are."""
    graph = named("phase", "reduce", "cells", "reduce.inner")
    faults = [fault.message.partition(":")[0] for fault in find_name_faults(graph)]
    assert faults == [
        *("'phase' cannot name an operator", "'cells' cannot name an operator"),
        "'features.denseblock1.denselayer1.reduce' names an operator, and others inside it",
    ]


def test_a_name_of_the_installed_version_alone_is_refused_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The live cell is asked before its text is imported."""
    prepare()
    from mindspore import nn

    monkeypatch.setattr(nn.Cell, "reduced", None, raising=False)
    assert write_module(named("reduced"))
    with pytest.raises(GraphError, match="W003 'reduced' cannot name an operator"):
        create_network(named("reduced"))


@pytest.mark.parametrize(
    "name", ["x", "x1", "nn", "ops", "self", "layer", "maps", "channels", "norm", "conv", "Network"]
)
def test_names_that_the_text_itself_uses_are_free(name: str) -> None:
    """A step may be called as a variable, a function or a class of the module is."""
    prepare()
    for graph in (named("first", name), named("first", f"{name}.{name}")):
        assert type(create_network(graph)).__name__ == "Network"


@pytest.mark.parametrize("name", shipped())
def test_no_shipped_spec_has_a_name_that_cannot_stand(name: str) -> None:
    """Nor has one that a spec's steps get where they say none."""
    assert find_name_faults(build_graph(load_spec(name))) == ()


def test_build_refuses_it_where_mindspore_is_missing(
    tmp_path: Path, no_mindspore: Mapping[str, str]
) -> None:
    """One line, exit code 1, and no folder."""
    spec = (
        "growth_rate: 4\nblock_config: [1]\nlayer: [{name: phase, conv: {width: k, kernel: 1}}]\n"
    )
    (tmp_path / "mine.yaml").write_text(spec)
    path = os.pathsep.join([no_mindspore["PYTHONPATH"], str(ROOT)])
    command = [sys.executable, "-m", "densenet_cli", "build", "mine.yaml", "--output", "made"]
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "W003" in done.stderr
    assert "'phase' cannot name an operator" in done.stderr
    assert not (tmp_path / "made").exists()


def test_a_graph_of_another_name_is_no_python() -> None:
    """For graphs that come from elsewhere."""
    graph = named("a")
    assert [fault.code for fault in find_name_faults(replace(graph, name="a b"))] == ["W003"]
