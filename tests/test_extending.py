"""What docs/extending.md says, done in a copy of the package: one row, and all rooms know it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
LANGUAGES = re.findall(r"^ *```(\w+)\n(.*?)^ *```$", PAGE, re.DOTALL | re.MULTILINE)
PYTHON = [text for language, text in LANGUAGES if language == "python"]

# Run with the copy first on the path: spec.yaml and model.onnx lie in the working directory.
ASKED = """
import mindspore as ms, numpy as np
from pathlib import Path
import onnx, onnxruntime, oracle
from onnx import TensorProto, helper
from archspec import build_graph, create_model, load_spec, verify
from archspec.compare.compare import compare
from archspec.readers.mindir.read import read_mindir
from archspec.readers.onnx.read import read_onnx
from archspec.writers.mindspore.export_mindir import export_mindir
from archspec.writers.onnx.model import make_onnx

spec = load_spec("spec.yaml")
graph = build_graph(spec)
assert verify(graph) == ()
weights = oracle.random_parameters(graph.ops.values(), 0)
images = np.random.default_rng(1).normal(size=(2, 3, 32, 28)).astype(np.float32)
right = oracle.forward(graph.ops.values(), weights, images)
for mode in (ms.GRAPH_MODE, ms.PYNATIVE_MODE):
    ms.set_context(mode=mode)
    network = create_model(spec)
    ms.load_param_into_net(network, {k: ms.Parameter(v, name=k) for k, v in weights.items()})
    made = network.set_train(False)(ms.Tensor(images)).asnumpy()
    assert oracle.distance(made, right) < 1e-4, oracle.distance(made, right)
ms.set_context(mode=ms.GRAPH_MODE)
export_mindir(network, (3, 32, 28), Path("model.mindir"))
assert not compare(graph, read_mindir(Path("model.mindir"))).differences
written = make_onnx(graph, weights)
onnx.save(written, "written.onnx")
assert not compare(graph, read_onnx(Path("written.onnx"))).differences
session = onnxruntime.InferenceSession("written.onnx", providers=["CPUExecutionProvider"])
assert oracle.distance(session.run(None, {"input": images})[0], right) < 1e-4
x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 3, 32, 28])
y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
softsign = helper.make_node("Softsign", ["x"], ["s"])
pool = helper.make_node("LpPool", ["s"], ["y"], kernel_shape=[3, 3], strides=[2, 2], p=4)
onnx.save(helper.make_model(helper.make_graph([softsign, pool], "g", [x], [y])), "model.onnx")
_, first, last = read_onnx(Path("model.onnx")).ops.values()
assert (first.kind, last.kind) == ("softsign", "power_pool")
assert last.attrs == {"kernel": 3, "stride": 2, "padding": 0, "power": 4}
"""
KINDS = ("softsign", "filter_response_norm", "maximum", "power_pool", "shift")
TESTS = (
    "operators",
    "readers/test_rows_in_files.py",
    "readers/test_joins_in_files.py",
    "writers/test_operators.py",
    "certify/test_reach.py",
)
"""Those of rows, which ask the new ones too."""


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, its specs and the oracle, with the page's rows in place."""
    folder = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("archspec", "densenet_cli", "specs"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for path in ROOT.glob("tests/oracle*.py"):
        shutil.copy(path, folder)
    for name in ("certify", "operators", "readers", "spec", "writers"):
        shutil.copytree(ROOT / "tests" / name, folder / name, ignore=ignored)
    activation, of_norm, norm, of_join, join, of_pool, pool, of_shift, shift, *others = PYTHON
    forward, example, node, rule = others
    put(folder / "archspec/operators/activations.py", "\nROWS = (\n", activation)
    put(folder / "archspec/operators/norms.py", "\nROWS = (\n", norm, of_norm)
    put(folder / "archspec/operators/joins.py", "\nROWS = (\n", join, of_join)
    put(folder / "archspec/operators/pools.py", "\nROWS = (\n", pool, of_pool)
    put(folder / "archspec/operators/channels.py", "\nROWS = (\n", shift, of_shift)
    put(folder / "oracle.py", "\nKINDS: Mapping[str, Any] = {\n", forward)
    put(folder / "operators/examples.py", "\nEXAMPLES: Mapping[str, Settings] = {\n", example)
    table = "APART: Mapping[tuple[str, str], tuple[int, Callable[[File], str], Attrs]]"
    put(folder / "readers/test_rows_in_files.py", f"\n{table} = {{\n", node)
    put(folder / "archspec/connectivity_rules.py", "\nRULES: Mapping[str, Rule] = {\n", rule)
    (spec,) = (text for language, text in LANGUAGES if language == "yaml")
    (folder / "spec.yaml").write_text(spec, encoding="utf-8")
    return folder


def put(file: Path, opening: str, row: str, definitions: str = "") -> None:
    """Add a row to a table, where in it does not matter, and before the table what it needs."""
    before, found, after = file.read_text(encoding="utf-8").partition(opening)
    assert found, f"{file.name} has no table that opens so"
    file.write_text(f"{before}{definitions}{opening}{row}{after}", encoding="utf-8")


def run(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(folder), "ONEDNN_MAX_CPU_ISA": "AVX2"}
    command = [sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_one_row_is_emitted_runs_is_read_and_lifted(copied: Path) -> None:
    """In both modes as NumPy computes it; a network that is exported comes back as the spec."""
    run(copied, "-c", ASKED)
    schema = run(copied, "-m", "densenet_cli", "schema")
    for word in ("softsign", "filter_response", "maximum", "power_pool", "shift"):
        assert f'"{word}"' in schema
    lifted = run(copied, "-m", "densenet_cli", "lift", "model.mindir")
    assert "activation: softsign" in lifted
    assert re.search(r"^norm: *\{kind: filter_response, eps: 0.001\}$", lifted, re.MULTILINE)
    assert "join: maximum" in lifted
    assert re.search(r"power_pool: *\{kernel: 3, stride: 2, power: 4\}", lifted)
    assert re.search(r"^ *- shift$", lifted, re.MULTILINE)
    assert lifted == run(copied, "-m", "densenet_cli", "lift", "written.onnx").replace(
        "written", "model"
    )


def test_the_tests_of_rows_ask_new_ones_and_need_no_other_line(copied: Path) -> None:
    """They stand in all tables, which are made of the rows and of the page's lines."""
    named = " or ".join((*KINDS, "every_kind", "each_kind"))
    own = f"({named}) and not its_graph"  # networks of them are built above
    options = ("-v", "-p", "no:cacheprovider", "--import-mode=importlib")
    told = run(copied, "-m", "pytest", *options, "-k", own, *TESTS)
    for kind in KINDS:
        assert told.count(f"[{kind}") > 20, told


def test_a_rule_is_a_word_of_the_language(copied: Path) -> None:
    """Built, proved and counted."""
    text = (copied / "spec.yaml").read_text(encoding="utf-8")
    file = copied / "rule.yaml"
    file.write_text(f"{text}connectivity: every_second\n", encoding="utf-8")
    assert "rule.yaml" in run(copied, "-m", "densenet_cli", "check", "rule.yaml")
