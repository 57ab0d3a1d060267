"""A recipe's switches of Ascend: what was handed to MindSpore, which keeps it on a CPU too."""

import json
import os
import subprocess
import sys

import pytest

from archspec.errors import SpecError
from archspec.train.planning import create, plan_run
from archspec.train.recipe.ascend_settings import AscendRecipe, describe_switches
from archspec.train.recipe.recipe import load_recipe

TINY_SPEC = ["block_config=[1,1]", "growth_rate=4", "stem.channels=4"]
JOIN = """
import json, os, sys
from archspec.runtime import prepare
prepare()
import mindspore as ms
from mindspore._c_expression import RuntimeConf
from archspec.errors import EnvironmentFault
from archspec.train.distributed.worker_group import join_group
from archspec.train.recipe.recipe import load_recipe

target, *settings = json.loads(sys.argv[1])
if target == "Ascend":
    ms.set_device = lambda target: None  # none is here: all behind it is MindSpore's own
handed = []
set_memory = ms.runtime.set_memory
ms.runtime.set_memory = lambda **said: (handed.append(said), set_memory(**said))  # not told again
faults = []
for said in settings:
    try:
        join_group(target, load_recipe("digits", said).ascend)
    except EnvironmentFault as error:
        faults += [[fault.code, fault.message] for fault in error.diagnostics]
found = {name: ms.get_context(name) for name in ("jit_level", "deterministic", "mode")}
found["environment"] = [os.environ.get(name) for name in ("HCCL_DETERMINISTIC",)]
found["memory"] = [RuntimeConf.get_instance().is_memory_configured(), handed]
print(json.dumps({**found, "faults": faults}))
"""


def join(target, *settings):
    command = [sys.executable, "-c", JOIN, json.dumps([target, *settings])]
    environment = {name: value for name, value in os.environ.items() if name[:5] != "HCCL_"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_switches_reach_mindspore_on_ascend_and_a_cpu_leaves_them_alone():
    """By MindSpore's own setters, once in a process: the same again is right, another value not."""
    said = ["ascend={jit_level: O1, max_device_memory: 30GB, deterministic: true}"]
    found = join("Ascend", said, said, ["ascend.max_device_memory=20GB"], [])
    assert (found["jit_level"], found["deterministic"], found["mode"]) == ("O1", "ON", 0)
    assert found["environment"] == ["true"]
    assert found["memory"] == [True, [{"max_size": "30GB"}, {"max_size": "20GB"}]]
    [[code, message]] = found["faults"]
    assert code == "E004"
    assert message.startswith("ascend.max_device_memory (=20GB) cannot be set")
    left = join("CPU", said)
    assert (left["deterministic"], left["environment"], left["faults"]) == ("OFF", [None], [])
    assert left["memory"] == [False, []]
    assert left["jit_level"] == join("Ascend", [])["jit_level"] != "O1"


TRAIN = """
import json, sys
from pathlib import Path
from archspec.runtime import prepare
prepare()
import mindspore as ms
from archspec.train.loop import train_in_process
from archspec.train.run.run_directory import open_run

ms.set_device = lambda target: None  # none is here: MindSpore computes on the CPU
run = open_run(Path(sys.argv[1]))
train_in_process(run, lambda event: None)
found = [ms.get_context(name) for name in ("jit_level", "deterministic")]
print(json.dumps([run.settings.device_target, *found]))
"""


@pytest.mark.slow
def test_a_run_on_ascend_hands_its_recipes_switches_on(tmp_path):
    """What trains, in one process or several, begins with them."""
    said = ["epochs=1", "data.samples=64", "ascend={jit_level: O0, deterministic: true}"]
    plan = plan_run("densenetbc_digits", spec_overrides=TINY_SPEC, recipe_overrides=said)
    run = create(plan, tmp_path / "run")
    settings = json.loads((run.path / "run.json").read_text())
    text = json.dumps({**settings, "device_target": "Ascend"})
    (run.path / "run.json").write_text(text)
    command = [sys.executable, "-c", TRAIN, str(run.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == ["Ascend", "O0", "ON"]


@pytest.mark.parametrize(
    ("said", "target", "line"),
    [
        ({}, "CPU", ""),
        ({}, "Ascend", ""),
        ({"deterministic": True}, "CPU", "off on a CPU, being Ascend's own: deterministic"),
        (
            {"jit_level": "O0", "max_device_memory": "3.5GB"},
            "Ascend",
            "Ascend: jit_level O0, max_device_memory 3.5GB",
        ),
    ],
)
def test_a_line_says_what_is_switched_or_that_a_cpu_has_no_such(said, target, line):
    """Nothing where nothing is said."""
    assert describe_switches(AscendRecipe(**said), target) == line


@pytest.mark.parametrize("size", ["30", "30 GB", "30MB", "0GB", "0.0GB", "-1GB", "1e3GB", 30, "GB"])
def test_a_size_that_mindspore_would_not_take_is_refused(size):
    """With a size that it would."""
    with pytest.raises(SpecError, match="must be a size such as 30GB"):
        load_recipe("digits", [("ascend.max_device_memory", size)])


def test_switches_at_the_top_are_told_their_place():
    """MindSpore calls them by these names."""
    with pytest.raises(SpecError, match=r"recipe\.ascend\.jit_level=O1"):
        load_recipe("digits", ["jit_level=O1"])
