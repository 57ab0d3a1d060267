"""The live network: the emitted text, imported; equal to a network written by hand."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest

from archspec.errors import GraphError, SpecError
from archspec.graph.build import build_graph
from archspec.graph.report import report
from archspec.runtime import prepare
from archspec.spec.catalogue import shipped
from archspec.spec.load import load_spec
from archspec.spec.spec import Spec
from archspec.writers.mindspore.create_model import create_model, import_text
from archspec.writers.mindspore.module import write_module

ROOT = Path(__file__).resolve().parent.parent.parent
TOLERANCE = 1e-5

# Learnable values, as the papers, torchvision and MindCV have them.
PUBLISHED = {
    "densenet121": 7_978_856,
    "densenet169": 14_149_480,
    "densenet201": 20_013_928,
    "densenet161": 28_681_000,
    "densenet264": 33_337_704,
    "densenet40_k12": 1_019_722,
    "densenet100_k12": 6_979_642,
    "densenet100_k24": 27_249_082,
    "densenetbc100_k12": 769_162,
    "densenetbc250_k24": 15_324_406,
    "densenetbc190_k40": 25_624_430,
}
LARGE = ("densenet161", "densenet169", "densenet201")
QUICK = ("densenet121", "densenet40_k12", "densenetbc100_k12", "densenetbc_digits")


def slow_unless(quick: tuple[str, ...], names: Any) -> list[Any]:
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.fixture(scope="module")
def ms() -> Iterator[Any]:
    prepare()
    import mindspore

    yield mindspore
    mindspore.set_context(mode=mindspore.PYNATIVE_MODE)


@pytest.fixture
def peers(ms: Any) -> Any:
    """A function that gives ours and the hand-written network,
    with the same random weights and statistics.
    """
    from handwritten import HandwrittenDenseNet, our_name

    def make(spec: Spec, *widths: Any) -> tuple[Any, Any]:
        ours, theirs = (
            create_model(spec),
            HandwrittenDenseNet(*widths, num_classes=spec.head.num_classes),
        )
        values = oracle.random_parameters(build_graph(spec).ops.values(), seed=3)
        named = {
            parameter.name: values[our_name(parameter.name)]
            for parameter in theirs.get_parameters()
        }
        assert len(named) == len(values)
        for network, given in ((ours, values), (theirs, named)):
            parameters = {name: ms.Parameter(value, name=name) for name, value in given.items()}
            assert ms.load_param_into_net(network, parameters) == ([], [])
        return ours, theirs

    return make


def images(ms: Any, *shape: int) -> Any:
    return ms.Tensor(np.random.default_rng(2).normal(size=shape).astype(np.float32))


@pytest.mark.parametrize("name", slow_unless(("densenet121",), ("densenet121", *LARGE)))
def test_a_network_written_by_hand_gives_the_same_logits(ms: Any, peers: Any, name: str) -> None:
    """The same weights, called by MindCV's names,
    in a network that concatenates a list for each layer.
    """
    from handwritten import VARIANTS

    ours, theirs = peers(load_spec(name), *VARIANTS[name])
    x = images(ms, 2, 3, 64, 64)
    ms.set_context(mode=ms.PYNATIVE_MODE)
    found, expected = (network.set_train(False)(x).asnumpy() for network in (ours, theirs))
    assert oracle.distance(found, expected) <= TOLERANCE


@pytest.mark.parametrize("mode", ["GRAPH_MODE", "PYNATIVE_MODE"])
def test_a_network_written_by_hand_gives_the_same_gradients(ms: Any, peers: Any, mode: str) -> None:
    """Every parameter's gradient, and the statistics that a training step leaves behind."""
    from handwritten import our_name

    spec = Spec.model_validate(
        {
            "input": {"height": 32, "width": 32},
            "stem": {"channels": 6},
            "growth_rate": 4,
            "blocks": [{"layers": 3}, {"layers": 2}],
            "head": {"num_classes": 5},
        }
    )
    ours, theirs = peers(spec, 4, (3, 2), 6)
    ms.set_context(mode=getattr(ms, mode))
    x, labels = images(ms, 4, 3, 32, 32), ms.Tensor([0, 4, 2, 2], ms.int32)
    found, expected = gradients(ms, ours, x, labels), gradients(ms, theirs, x, labels)
    assert found.keys() == {our_name(name) for name in expected}
    scale = max(float(np.abs(value).max()) for value in expected.values())
    for name, value in expected.items():
        assert np.abs(found[our_name(name)] - value).max() <= TOLERANCE * scale, name
    left = {our_name(p.name): p.asnumpy() for p in theirs.get_parameters() if "moving" in p.name}
    for name, value in left.items():
        assert oracle.distance(ours.parameters_dict()[name].asnumpy(), value) <= TOLERANCE, name


def gradients(ms: Any, network: Any, x: Any, labels: Any) -> dict[str, Any]:
    network.set_train(True)
    loss = ms.nn.CrossEntropyLoss()
    weights = network.trainable_params()

    def forward(x: Any, labels: Any) -> Any:  # MindSpore takes no lambda here
        return loss(network(x), labels)

    _, found = ms.value_and_grad(forward, None, weights)(x, labels)
    return {weight.name: value.asnumpy() for weight, value in zip(weights, found, strict=True)}


@pytest.mark.parametrize("name", slow_unless(QUICK, shipped()))
def test_a_shipped_network_has_as_many_parameters_as_reported(ms: Any, name: str) -> None:
    """Counted on MindSpore's cells; the published number, where one is."""
    network, counts = create_model(name), report(build_graph(load_spec(name)))
    assert sum(parameter.size for parameter in network.trainable_params()) == counts.params
    assert sum(parameter.size for parameter in network.get_parameters()) == counts.params_with_stats
    assert counts.params == PUBLISHED.get(name, counts.params)


def test_num_classes_changes_the_head_alone(ms: Any) -> None:
    """All other parameters keep their names and shapes."""
    usual, ten = (
        {p.name: p.shape for p in create_model("densenet121", classes).get_parameters()}
        for classes in (None, 10)
    )
    changed = {name for name in usual if usual[name] != ten[name]}
    assert usual.keys() == ten.keys()
    assert changed == {"classifier.weight", "classifier.bias"}
    assert ten["classifier.weight"] == (10, 1024)


@pytest.mark.parametrize("num_classes", [0, -1, 10**9, True, 2.5, "10"])
@pytest.mark.parametrize(
    "spec", ["densenetbc_digits", Spec(growth_rate=2, blocks=({"layers": 1},))]
)
def test_a_wrong_number_of_classes_is_a_fault_of_the_spec(spec: Any, num_classes: Any) -> None:
    """The same rule as for `head.num_classes`; the value is named."""
    with pytest.raises(SpecError, match="num_classes"):
        create_model(spec, num_classes)


def test_what_is_no_spec_raises_ours(tmp_path: Path) -> None:
    """Names that do not exist, files that are not there,
    overrides that break a rule, images too small.
    """
    for wrong in ("densent121", tmp_path / "none.yaml"):
        with pytest.raises(SpecError):
            create_model(wrong)
    with pytest.raises(SpecError, match="growth_rate"):
        create_model("densenet121", overrides={"growth_rate": 0})
    with pytest.raises(GraphError, match="G006"):
        create_model("densenet121", overrides=["input.height=8"])


def test_a_name_a_path_and_a_spec_give_the_same_class(ms: Any) -> None:
    """However the spec is given, it is one text, hence one module."""
    made = [create_model(given) for given in ("densenetbc_digits", shipped()["densenetbc_digits"])]
    made.append(create_model(load_spec("densenetbc_digits")))
    assert len({type(network) for network in made}) == 1
    assert len({id(network) for network in made}) == 3


def test_the_live_network_is_the_written_text_line_for_line(ms: Any) -> None:
    """Its source, as MindSpore's compiler and tracebacks find it, is what `build` would save."""
    network = create_model("densenetbc_digits")
    text = write_module(build_graph(load_spec("densenetbc_digits")))
    assert inspect.getsource(sys.modules[type(network).__module__]) == text
    assert inspect.getsource(type(network)) in text


def test_a_text_whose_import_fails_leaves_no_module_behind() -> None:
    """The next attempt starts afresh instead of finding half a module."""
    before = set(sys.modules)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            import_text("x = 1 / 0\n", "failing")
    assert set(sys.modules) == before


def python(code: str, folder: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_package_alone_never_imports_mindspore(tmp_path: Path) -> None:
    """Not even `create_model`, before it is called;
    a name that is not there is an AttributeError as ever.
    """
    code = """if True:
        import sys, archspec
        assert "create_model" in archspec.__all__
        assert "archspec.writers" not in sys.modules
        from archspec import *
        assert create_model is archspec.create_model
        assert not hasattr(archspec, "create_modle")
        assert "mindspore" not in sys.modules
    """
    python(code, tmp_path)


def test_the_folder_of_the_live_text_goes_when_the_process_ends(tmp_path: Path) -> None:
    """Nothing is left in the folder for temporary files."""
    code = f"""if True:
        import tempfile; tempfile.tempdir = {str(tmp_path)!r}
        from archspec.writers.mindspore.create_model import import_text
        print(open(import_text("x = 1\\n", "short").__file__).read())
    """
    assert python(code, tmp_path).strip() == "x = 1"
    assert list(tmp_path.iterdir()) == []
