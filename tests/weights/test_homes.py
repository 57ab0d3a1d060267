"""Weights leave under the very names that torchvision, timm and MindCV have for the network, as
recorded from these libraries (`tests/cases/homes.json.gz` says of which versions).
"""

import gzip
import json
from pathlib import Path

import pytest
from safetensors.numpy import load_file
from weights.networks import same, weights_of

from archspec.graph.build import build_graph
from archspec.spec.load import load_spec
from archspec.weights.convert import convert_file
from archspec.weights.formats.weight_files import write_tensors
from archspec.weights.library_networks import is_built_by_libraries

CASES = Path(__file__).parents[1] / "cases"
HOMES = json.loads(gzip.decompress((CASES / "homes.json.gz").read_bytes()))["networks"]
"""`timm/densenet121`: the shape and the kind of numbers of each tensor by its name."""
COUNTER = ".num_batches_tracked"
QUICK = ("mindcv/densenet121", "torchvision/densenet121")


def homes() -> list:
    slow = pytest.mark.slow
    return [pytest.param(home, marks=() if home in QUICK else slow) for home in HOMES]


def written(home: str, folder: Path) -> Path:
    target, name = home.split("/")
    write_tensors(folder / "ours.ckpt", weights_of(name))
    convert_file(folder / "ours.ckpt", name, folder / "theirs.safetensors", target=target)
    return folder / "theirs.safetensors"


@pytest.mark.parametrize("home", homes())
def test_names_shapes_and_numbers_are_those_of_the_library(home, tmp_path):
    """All of them, but for torch's counters of batches, which its norms put in by themselves."""
    wanted = {name: each for name, each in HOMES[home].items() if not name.endswith(COUNTER)}
    file = written(home, tmp_path)
    tensors = load_file(file)
    assert {name: [[*each.shape], each.dtype.name] for name, each in tensors.items()} == wanted
    name = home.split("/")[1]
    assert same(convert_file(file, name).tensors, weights_of(name))


@pytest.mark.parametrize(
    ("spec", "overrides", "is_told"),
    [
        ("densenet121", ["growth_rate=16", "block_config=[2, 3]", "stem.channels=20"], False),
        ("densenet121", ["head.num_classes=7", "drop_rate=0.1", "bottleneck=2"], False),
        ("densenet121", ["activation=relu6"], True),
        ("densenet121", ["compression=0.4"], True),
        ("densenet121", ["connectivity.order=newest_first"], True),
        ("densenet264", [], False),
        ("densenetbc_digits", [], True),
        ("vovnet39", [], True),
        ("peleenet", [], True),
    ],
)
def test_it_is_told_where_no_library_builds_the_network(spec, overrides, is_told):
    """Names alone do not tell: weights would load, and compute something else."""
    chosen = load_spec(spec, overrides)
    assert is_built_by_libraries(chosen, build_graph(chosen)) is not is_told


@pytest.mark.slow
@pytest.mark.parametrize("home", HOMES)
def test_the_library_itself_takes_them_all(home, tmp_path):
    """With nothing missing and nothing left over."""
    library, name = home.split("/")
    if library == "mindcv":
        models = pytest.importorskip("mindcv.models")
        import mindspore as ms

        network = models.create_model(name)
        write_tensors(tmp_path / "ours.ckpt", weights_of(name))
        convert_file(tmp_path / "ours.ckpt", name, tmp_path / "theirs.ckpt", target="mindcv")
        held = ms.load_checkpoint(str(tmp_path / "theirs.ckpt"))
        assert ms.load_param_into_net(network, held, strict_load=True) == ([], [])
        return
    torch_files = pytest.importorskip("safetensors.torch")
    if library == "timm":
        network = pytest.importorskip("timm").create_model(name)
    else:
        network = getattr(pytest.importorskip("torchvision").models, name)()
    network.load_state_dict(torch_files.load_file(written(home, tmp_path)), strict=True)
