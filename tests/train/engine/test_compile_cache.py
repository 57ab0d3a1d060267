"""What is compiled is kept: no change goes unseen, no damaged file is believed, the bits are equal.

Trainings run in processes of their own, as a second start does.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from archspec.runtime import prepare
from archspec.spec.load import load_spec
from archspec.train.engine import compile_cache, compiled_graphs
from archspec.train.engine.compile_cache import FOLDER, SWITCH, CompileCache, make_cache
from archspec.train.engine.compiled_graphs import drop_oldest, read_graph, write_graph
from archspec.train.recipe.recipe import load_recipe

ROOT = Path(__file__).resolve().parents[3]
TINY = ["block_config=[2, 2]", "growth_rate=4"]
SHORT = ["epochs=1", "data.samples=256"]
# Trains, and prints a digest of the last checkpoint and whether the step was compiled before.
TRAIN = """
import hashlib, json, sys
from pathlib import Path
from archspec.runtime import prepare
from archspec.train.loop import train_in_process
from archspec.train.planning import create, plan_run

folder, spec, recipe, version = json.loads(sys.argv[1])
if version:
    from archspec.train.engine import compile_cache
    compile_cache.list_versions = lambda: {"mindspore": version}
plan = plan_run("densenetbc_digits", spec_overrides=spec, recipe_overrides=recipe)
run = create(plan, Path(folder))
events = []
train_in_process(run, events.append)
import mindspore as ms
found = hashlib.sha256()
for name, value in sorted(ms.load_checkpoint(str(run.last)).items()):
    found.update(name.encode() + value.asnumpy().tobytes())
is_kept = any(event.get("is_kept") for event in events)
print(json.dumps([found.hexdigest(), is_kept]))
"""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DENSENET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / FOLDER


def train(folder, cache, spec=(), recipe=(), version="", **environment):
    """The last checkpoint's digest, and whether the step was compiled before."""
    given = json.dumps([str(folder), [*TINY, *spec], [*SHORT, *recipe], version])
    done = subprocess.run(
        [sys.executable, "-c", TRAIN, given],
        env={**os.environ, "DENSENET_CACHE": str(cache), "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def started_twice(tmp_path_factory):
    """A cache folder, and what two starts of one run gave with it."""
    folder = tmp_path_factory.mktemp("twice")
    cache = folder / "cache"
    return cache, [train(folder / str(number), cache) for number in range(2)]


@pytest.mark.slow
def test_a_second_start_compiles_nothing_and_ends_with_the_same_bits(started_twice, tmp_path):
    cache, ((first, was_kept), (second, is_kept)) = started_twice
    assert (was_kept, is_kept) == (False, True)
    off, is_kept_off = train(tmp_path / "off", cache, **{SWITCH: "0"})
    by_recipe, is_kept_by_recipe = train(tmp_path / "no", cache, recipe=["compile_cache=false"])
    assert first == second == off == by_recipe
    assert not is_kept_off
    assert not is_kept_by_recipe


CHANGES = {
    "wiring": {"spec": ["connectivity.order=newest_first"]},
    "activation": {"spec": ["activation=elu"]},
    "width": {"spec": ["stem.channels=12"]},
    "weight decay": {"recipe": ["optimizer.weight_decay=0.05"]},
    "smoothing": {"recipe": ["label_smoothing=0.3"]},
    "momentum": {"recipe": ["optimizer.momentum=0.5"]},
    "rate": {"recipe": ["schedule.learning_rate=0.03"]},
    "batch": {"recipe": ["batch_size=32"]},
    "precision": {"recipe": ["amp=O2"]},
    "full precision of some": {"recipe": ["amp=O2", "amp_keep_float32=dense"]},
    "clipping": {"recipe": ["clip={norm: 0.1}"]},
}


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_each_change_takes_effect(started_twice, tmp_path, change):
    """As it does where nothing is kept; MindSpore alone would give the first network's bits."""
    cache, ((first, _), _) = started_twice
    changed, is_kept = train(tmp_path / "kept", cache, **CHANGES[change])
    expected, _ = train(tmp_path / "off", cache, **CHANGES[change], **{SWITCH: "0"})
    assert not is_kept
    assert changed == expected != first
    assert train(tmp_path / "again", cache, **CHANGES[change]) == [expected, True]


@pytest.mark.slow
def test_what_is_computed_again_is_another_graph_of_equal_results(started_twice, tmp_path):
    cache, ((first, _), _) = started_twice
    assert train(tmp_path / "one", cache, recipe=["recompute=layer"]) == [first, False]
    assert train(tmp_path / "two", cache, recipe=["recompute=layer"]) == [first, True]


@pytest.mark.slow
def test_another_version_or_environment_is_compiled_anew(started_twice, tmp_path):
    cache, ((first, _), _) = started_twice
    assert train(tmp_path / "version", cache, version="2.11.0") == [first, False]
    _, is_kept = train(tmp_path / "isa", cache, ONEDNN_MAX_CPU_ISA="SSE41")
    assert not is_kept


@pytest.mark.slow
def test_what_is_damaged_is_compiled_anew_and_kept_again(started_twice, tmp_path):
    cache, ((first, _), _) = started_twice
    own = tmp_path / "cache"
    (own / FOLDER).mkdir(parents=True)
    for file in (cache / FOLDER).iterdir():
        (own / FOLDER / file.name).write_bytes(file.read_bytes()[:-100])
    assert train(tmp_path / "one", own) == [first, False]
    assert train(tmp_path / "two", own) == [first, True]


@pytest.mark.slow
def test_a_folder_that_takes_nothing_costs_time_alone(started_twice, tmp_path):
    _, ((first, _), _) = started_twice
    own = tmp_path / "cache"
    own.mkdir()
    (own / FOLDER).write_text("no folder")
    assert train(tmp_path / "run", own) == [first, False]


def damage(data):
    yield "cut", data[:-1]
    yield "longer", data + b"\0"
    yield "another byte", data[:-1] + bytes([data[-1] ^ 1])
    yield "another head", b"x" + data[1:]
    yield "nothing", b""


def test_a_graph_is_read_back_whole_or_not_at_all(tmp_path):
    """What is damaged is dropped."""
    path = tmp_path / "graph"
    assert read_graph(path) is None
    write_graph(path, b"bytes of a graph")
    assert read_graph(path) == b"bytes of a graph"
    assert [file.name for file in tmp_path.iterdir()] == ["graph"]
    for kind, data in damage(path.read_bytes()):
        path.write_bytes(data)
        assert read_graph(path) is None, kind
        assert not path.exists(), kind
    os.mkfifo(path)
    assert read_graph(path) is None, "a pipe, which nobody writes to"


def test_what_was_not_used_for_longest_is_dropped_where_there_is_no_more_room(
    tmp_path, monkeypatch
):
    for number in range(4):
        write_graph(tmp_path / str(number), bytes(1_000))
        os.utime(tmp_path / str(number), (number, number))
    read_graph(tmp_path / "0")  # it is used now
    monkeypatch.setattr(compiled_graphs, "MOST_BYTES", 2_500)
    assert drop_oldest(tmp_path / "3") == 2
    assert sorted(file.name for file in tmp_path.iterdir()) == ["0", "3"]


@pytest.mark.parametrize(
    ("name", "value", "is_on"),
    [
        (SWITCH, "1", True),
        (SWITCH, "0", False),
        (SWITCH, "off", False),
        (SWITCH, "False", False),
        ("MS_COMPILER_CACHE_ENABLE", "1", False),
    ],
)
def test_the_environment_switches_it_off(monkeypatch, name, value, is_on):
    monkeypatch.setenv(name, value)
    assert compile_cache.is_switched_on() is is_on


def make_cell(factor):
    """A small cell, and one like it with another number in it."""
    from mindspore import Tensor, nn

    class Scaled(nn.Cell):
        def __init__(self):
            super().__init__()
            self.dense = nn.Dense(3, 2, weight_init="ones", bias_init="ones")
            self.factor, self.shift = factor, Tensor(np.full(2, factor, np.float32))

        def construct(self, x):
            return self.dense(x) * self.factor + self.shift

    return Scaled()


def test_a_call_gives_what_the_very_cell_gives(cache):
    """Also where another cell has the same parameters, and where a call compiles nothing.

    MindSpore looks at no graph once it has compiled one: none is called known then, or kept anew.
    """
    prepare()
    import mindspore as ms

    ms.set_context(mode=ms.GRAPH_MODE)
    images = ms.Tensor(np.arange(6, dtype=np.float32).reshape(2, 3))
    expected = {factor: make_cell(factor)(images).asnumpy() for factor in (2.0, 3.0)}
    known = []
    for factor in (2.0, 3.0, 2.0, 3.0, 3.0):
        compiled, cell = CompileCache({"network": "one"}), make_cell(factor)
        if len(known) == 2:
            kept = {file.name: file.stat().st_ino for file in cache.iterdir()}
        if len(known) == 3:
            cell(images)  # by somebody else, so that nothing is compiled by the call
        known.append(compiled.is_known("step", cell, images))
        for _ in range(2):
            found = compiled.call("step", cell, images).asnumpy()
            np.testing.assert_array_equal(found, expected[factor])
    assert known == [False] * 5
    assert {file.name: file.stat().st_ino for file in cache.iterdir()} == kept
    assert len(kept) == 2


def test_all_that_a_graph_follows_from_is_in_its_name(cache, monkeypatch):
    prepare()
    import mindspore as ms

    spec, recipe = load_spec("densenetbc_digits"), load_recipe("digits")
    cell, images = make_cell(2.0), ms.Tensor(np.zeros((2, 3), np.float32))

    def name(spec=spec, recipe=recipe, cell=cell, images=images, what="step", **where):
        where = {"device_target": "CPU", "rank": 0, "world": 1, **where}
        return make_cache(spec, recipe, **where)._find_path(what, cell, (images,)).name

    frozen = make_cell(2.0)
    frozen.dense.weight.requires_grad = False
    names = [
        name(),
        name(spec=load_spec("densenetbc_digits", ["growth_rate=13"])),
        name(recipe=load_recipe("digits", ["label_smoothing=0.2"])),
        name(cell=make_cell(3.0)),
        name(cell=frozen),
        name(images=ms.Tensor(np.zeros((4, 3), np.float32))),
        name(images=ms.Tensor(np.zeros((2, 3), np.float16))),
        name(what="judge"),
        name(device_target="Ascend"),
        name(rank=1, world=2),
        name(world=2),
    ]
    monkeypatch.setenv("MS_DEV_SOMETHING", "1")
    names.append(name())
    monkeypatch.setattr(compile_cache, "list_versions", lambda: {"mindspore": "9.9"})
    names.append(name())
    assert len(set(names)) == len(names)
    monkeypatch.setenv("MS_SCHED_PORT", "8119")  # another each time
    assert name() == names[-1]
