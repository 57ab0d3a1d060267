"""What `build` saves: whole files, and a module that needs MindSpore alone."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest

from archspec.errors import ArchspecError, GraphError
from archspec.graph.build import build_graph
from archspec.graph.digest import digest_with_names, structure_digest
from archspec.graph.report import report
from archspec.runtime import prepare
from archspec.spec.load import load_spec
from archspec.spec.spec import Spec
from archspec.writers.build_folder import build_folder
from archspec.writers.mindspore.create_model import create_model
from archspec.writers.mindspore.module import write_module

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = ["network.py", "report.json", "spec.yaml"]

SMALL = Spec.model_validate(
    {
        "name": "small.one",
        "description": 'überall """ \U0001f600 # {x}',
        "input": {"height": 12, "width": 10},
        "stem": {"kernel": 3, "stride": 1},
        "growth_rate": 4,
        "blocks": [{"layers": 2}, {"layers": 1, "layer": "basic", "drop_rate": 0.3}],
        "activation": "gelu",
        "head": {"num_classes": 7},
    }
)

# A stranger's program: it cannot import our package, and says what the saved network gives.
STRANGER = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("archspec", "densenet_cli"):
            raise ImportError(f"{name} is not there")

sys.meta_path.insert(0, Refuse())
sys.path.insert(0, sys.argv[1])
import network
assert "mindspore" in sys.modules
import mindspore, numpy
assert not any(name.partition(".")[0] in ("archspec", "densenet_cli") for name in sys.modules)
mindspore.set_context(mode=mindspore.GRAPH_MODE)
model = network.Network()
given = mindspore.load_checkpoint(sys.argv[2])
assert mindspore.load_param_into_net(model, given) == ([], [])
images = mindspore.Tensor(numpy.load(sys.argv[3]))
numpy.save(sys.argv[4], model.set_train(False)(images).asnumpy())
"""


def test_the_folder_holds_the_spec_the_report_and_the_module(tmp_path: Path) -> None:
    """Each reads back: the equal spec, the report with both digests,
    the writer's text and its length.
    """
    folder = tmp_path / "deep" / "er"
    lines, _ = build_folder(SMALL, folder)
    graph = build_graph(SMALL)
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert load_spec(folder / "spec.yaml") == SMALL
    found = json.loads((folder / "report.json").read_text())
    assert found.pop("structure_digest") == structure_digest(graph)
    assert found.pop("named_digest") == digest_with_names(graph)
    assert found == json.loads(json.dumps(report(graph).as_json()))
    text = (folder / "network.py").read_text()
    assert text == write_module(graph)
    assert lines == len(text.splitlines())


def test_building_again_from_the_saved_spec_gives_the_same_bytes(tmp_path: Path) -> None:
    """`extends` and overrides are resolved once and for all."""
    first, second = tmp_path / "first", tmp_path / "second"
    build_folder(load_spec("densenet161", ["growth_rate=8", "blocks[1].layers=2"]), first)
    build_folder(load_spec(first / "spec.yaml"), second)
    assert contents(first) == contents(second)


def test_the_module_imports_mindspore_and_nothing_of_ours(tmp_path: Path) -> None:
    """As its syntax tree says."""
    build_folder(SMALL, tmp_path)
    nodes = list(ast.walk(ast.parse((tmp_path / "network.py").read_text())))
    modules = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert modules == {"collections", "mindspore", "mindspore.common.initializer"}
    plain = [node for node in nodes if isinstance(node, ast.Import)]
    assert [alias.name for node in plain for alias in node.names] == ["math"]


def test_the_module_alone_gives_the_live_networks_outputs_bit_for_bit(tmp_path: Path) -> None:
    """A process that cannot import our package, and the same checkpoint."""
    prepare()
    import mindspore as ms

    build_folder(SMALL, tmp_path / "built")
    live = create_model(SMALL)
    values = oracle.random_parameters(build_graph(SMALL).ops.values(), seed=5)
    parameters = {name: ms.Parameter(value, name=name) for name, value in values.items()}
    assert ms.load_param_into_net(live, parameters) == ([], [])
    checkpoint, images, logits = (
        tmp_path / name for name in ("it.ckpt", "images.npy", "logits.npy")
    )
    ms.save_checkpoint(live, str(checkpoint))
    batch = np.random.default_rng(0).normal(size=(3, 3, 12, 10)).astype(np.float32)
    np.save(images, batch)
    arguments = [tmp_path / "built", checkpoint, images, logits]
    done = python(STRANGER, tmp_path, *map(str, arguments))
    assert done.returncode == 0, done.stderr
    ms.set_context(mode=ms.GRAPH_MODE)
    expected = live.set_train(False)(ms.Tensor(batch)).asnumpy()
    ms.set_context(mode=ms.PYNATIVE_MODE)
    assert np.array_equal(np.load(logits), expected)


def test_a_spec_whose_graph_is_wrong_leaves_no_folder(tmp_path: Path) -> None:
    """The graph is proved before the first byte is written."""
    with pytest.raises(GraphError, match="G006"):
        build_folder(load_spec("densenet121", ["input.height=16"]), tmp_path / "built")
    assert not (tmp_path / "built").exists()


def test_a_place_that_is_no_folder_is_told(tmp_path: Path) -> None:
    """A file in the way, at the end of the path or on it, is named and left as it is."""
    (tmp_path / "file").write_text("mine")
    for target in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ArchspecError, match="W002 cannot be written") as fault:
            build_folder(SMALL, target)
        assert fault.value.diagnostics[0].where == str(target)
    assert contents(tmp_path) == {"file": b"mine"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_told(tmp_path: Path) -> None:
    """One clear error, nothing left."""
    tmp_path.chmod(0o500)
    with pytest.raises(ArchspecError, match="W002 cannot be written: Permission denied"):
        build_folder(SMALL, tmp_path / "built")


def test_a_disk_that_fills_up_leaves_the_earlier_files_whole(tmp_path: Path) -> None:
    """With room for 1,500 bytes a file the report does not fit:
    what stood there stays, nothing half-written.
    """
    build_folder(SMALL, tmp_path)
    before = contents(tmp_path)
    code = """if True:
        import resource, sys
        from archspec.errors import ArchspecError
        from archspec.spec.load import load_spec
        from archspec.writers.build_folder import build_folder
        from pathlib import Path
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))
        try:
            build_folder(load_spec("densenet121"), Path(sys.argv[1]))
        except ArchspecError as error:
            print(error)
    """
    done = python(code, tmp_path, str(tmp_path))
    assert "W002 cannot be written: File too large" in done.stdout, done.stderr
    after = contents(tmp_path)
    assert after.keys() == before.keys()
    assert after["report.json"] == before["report.json"]
    assert after["network.py"] == before["network.py"]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def python(code: str, folder: Path, *arguments: str) -> Any:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
