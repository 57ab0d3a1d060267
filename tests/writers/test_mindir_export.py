"""An exported MINDIR computes in evaluation what the network does;
a failed export leaves nothing.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import oracle
import pytest

from archspec.errors import ArchspecError
from archspec.graph.build import build_graph
from archspec.runtime import prepare
from archspec.spec.spec import Spec
from archspec.writers.mindspore.create_model import create_model
from archspec.writers.mindspore.export_mindir import export_mindir

ROOT = Path(__file__).resolve().parent.parent.parent
SHAPE = (3, 14, 11)
SPEC = Spec.model_validate(
    {
        "name": "exported",
        "input": {"channels": SHAPE[0], "height": SHAPE[1], "width": SHAPE[2]},
        "stem": {"kernel": 3, "stride": 1, "pool": "max"},
        "growth_rate": 4,
        "blocks": [{"layers": 1}, {"layers": 1, "layer": "basic"}],
        "drop_rate": 0.3,
        "head": {"num_classes": 6, "dropout": 0.2},
    }
)


@pytest.fixture(scope="module")
def ms() -> Iterator[Any]:
    prepare()
    import mindspore

    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    yield mindspore
    mindspore.set_context(mode=mindspore.PYNATIVE_MODE)


@pytest.fixture
def network(ms: Any) -> Any:
    return in_training(ms, SPEC)


def in_training(ms: Any, spec: Spec) -> Any:
    """A network in training, whose statistics are far from those of any batch."""
    made = create_model(spec)
    values = oracle.random_parameters(build_graph(spec).ops.values(), seed=7)
    parameters = {name: ms.Parameter(value, name=name) for name, value in values.items()}
    assert ms.load_param_into_net(made, parameters) == ([], [])
    return made.set_train(True)


def with_pool(pool: str) -> Spec:
    return SPEC.model_copy(update={"stem": SPEC.stem.model_copy(update={"pool": pool})})


def images(batch: int) -> Any:
    return np.random.default_rng(batch).normal(size=(batch, *SHAPE)).astype(np.float32)


def evaluated(ms: Any, network: Any, x: Any) -> Any:
    """What a live network gives, in the mode that compiles nothing and has the same bits."""
    ms.set_context(mode=ms.PYNATIVE_MODE)
    made = network.set_train(False)(x).asnumpy()
    ms.set_context(mode=ms.GRAPH_MODE)
    return made


def loaded(ms: Any, file: Path) -> Any:
    return ms.nn.GraphCell(ms.load(str(file)))


WITH_CEIL = [
    {"conv": {"width": 8, "kernel": 3}},
    {"max_pool": {"kernel": 3, "stride": 2, "ceil": True}},
]
START_BEYOND = [
    {"max_pool": {"kernel": 1, "stride": 2, "ceil": True}},
    {"conv": {"width": 8, "kernel": 3}},
]


@pytest.mark.parametrize("steps", [WITH_CEIL, pytest.param(START_BEYOND, marks=pytest.mark.slow)])
def test_a_pool_that_reaches_over_the_edge_is_exported(
    ms: Any, tmp_path: Path, steps: list[Any]
) -> None:
    """With a free batch too, on 14 x 11 pixels: 7 x 5 windows and, of one pixel each, 7 x 6."""
    spec = Spec.model_validate({**SPEC.model_dump(), "stem": {"steps": steps}})
    network, target = in_training(ms, spec), tmp_path / "network.mindir"
    export_mindir(network, SHAPE, target)
    x = ms.Tensor(images(2))
    assert np.array_equal(loaded(ms, target)(x).asnumpy(), evaluated(ms, network, x))


MOVES_PIXELS: dict[str, list[Any]] = {
    "nearest": ["upsample"],
    "bilinear": [{"upsample": {"mode": "bilinear", "factor": 3}}],
    "corners": [{"upsample": {"mode": "bilinear", "align_corners": True}}],
    "pixels and channels": [
        {"conv": {"width": 8, "kernel": 1}},
        "pixel_shuffle",
        "activation",
        {"pixel_unshuffle": {"factor": 2}},
    ],
    "behind an upsample": ["upsample", {"pixel_unshuffle": {"factor": 2}}, {"norm": "rms"}],
}


CASES = [pytest.param(case, marks=pytest.mark.slow) for case in MOVES_PIXELS]


@pytest.mark.parametrize("case", CASES)
def test_what_makes_or_moves_pixels_runs_with_a_free_batch(
    ms: Any, tmp_path: Path, case: str
) -> None:
    """Whatever the batch; a file that asked for the rank of a map would load and not run."""
    steps = [{"conv": {"width": 4, "kernel": 1}}, *MOVES_PIXELS[case]]
    spec = Spec.model_validate({**SPEC.model_dump(), "stem": {"steps": steps}})
    network, target = in_training(ms, spec), tmp_path / "network.mindir"
    export_mindir(network, SHAPE, target)
    again = loaded(ms, target)
    for batch in (1, 3):
        x = ms.Tensor(images(batch))
        assert np.array_equal(again(x).asnumpy(), evaluated(ms, network, x))


@pytest.mark.parametrize(
    "pool",
    [
        pytest.param("none", marks=pytest.mark.slow),
        pytest.param("avg", marks=pytest.mark.slow),
        "max",
    ],
)
def test_a_network_in_training_is_exported_in_evaluation_with_a_free_batch(
    ms: Any, tmp_path: Path, pool: str
) -> None:
    """Read back, it gives the same bits for every batch size, and what the NumPy forward says."""
    spec = with_pool(pool)
    network, target = in_training(ms, spec), tmp_path / "network.mindir"
    export_mindir(network, SHAPE, target)
    assert os.listdir(tmp_path) == ["network.mindir"]
    again = loaded(ms, target)
    graph = build_graph(spec)
    parameters = {parameter.name: parameter.asnumpy() for parameter in network.get_parameters()}
    for batch in (1, 3, 5):
        x = images(batch)
        found = again(ms.Tensor(x)).asnumpy()
        assert np.array_equal(found, evaluated(ms, network, ms.Tensor(x)))
        assert oracle.distance(found, oracle.forward(graph.ops.values(), parameters, x)) <= 1e-5


def test_a_batch_that_is_asked_for_is_fixed(ms: Any, network: Any, tmp_path: Path) -> None:
    """The same bits for that batch."""
    target = tmp_path / "network.mindir"
    export_mindir(network, SHAPE, target, batch=2)
    x = ms.Tensor(images(2))
    assert np.array_equal(loaded(ms, target)(x).asnumpy(), evaluated(ms, network, x))


def test_the_network_goes_on_as_before(ms: Any, network: Any, tmp_path: Path) -> None:
    """An export changes no cell, no parameter and no output of the live network."""
    x = ms.Tensor(images(2))
    before = network.set_train(False)(x).asnumpy()
    cells = [(name, id(cell)) for name, cell in network.cells_and_names()]
    parameters = [parameter.name for parameter in network.get_parameters()]
    export_mindir(network.set_train(True), SHAPE, tmp_path / "network.mindir")
    assert [(name, id(cell)) for name, cell in network.cells_and_names()] == cells
    assert [parameter.name for parameter in network.get_parameters()] == parameters
    assert np.array_equal(network.set_train(False)(x).asnumpy(), before)


def test_the_file_is_like_other_files_and_takes_an_older_ones_place(
    ms: Any, network: Any, tmp_path: Path
) -> None:
    """Readable and writable by its owner, whatever it is called:
    MindSpore alone writes 0400 and `.mindir`.
    """
    target = tmp_path / "network.of.mine"
    target.write_bytes(b"old")
    export_mindir(network, SHAPE, target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == ["network.of.mine"]
    assert target.stat().st_size > 1000


@pytest.mark.parametrize("place", ["file/network.mindir", "folder"])
def test_a_place_that_cannot_be_written_is_told(
    ms: Any, network: Any, tmp_path: Path, place: str
) -> None:
    """A file for a folder, a folder for the file: named, and nothing left behind."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ArchspecError, match="W002 cannot be written") as fault:
        export_mindir(network, SHAPE, tmp_path / place)
    assert fault.value.diagnostics[0].where == str(tmp_path / place)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
    assert os.listdir(tmp_path / "folder") == []


def test_a_disk_that_fills_up_leaves_nothing(tmp_path: Path) -> None:
    """A file of more than 4,000 bytes is refused by the system:
    one clear error, the older file is whole.
    """
    target = tmp_path / "network.mindir"
    target.write_bytes(b"old")
    code = """if True:
        import resource, sys
        from pathlib import Path
        from archspec.errors import ArchspecError
        from archspec.writers.mindspore.create_model import create_model
        from archspec.writers.mindspore.export_mindir import export_mindir
        network = create_model("densenetbc_digits")
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
        try:
            export_mindir(network, (1, 8, 8), Path(sys.argv[1]))
        except ArchspecError as error:
            print(error)
    """
    command = [sys.executable, "-c", code, str(target)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert "W002 cannot be written" in done.stdout, done.stderr
    assert os.listdir(tmp_path) == ["network.mindir"]
    assert target.read_bytes() == b"old"
