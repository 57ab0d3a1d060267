"""The list of a network's tensors is MindSpore's own, found without MindSpore."""

import subprocess
import sys

import pytest
from weights.networks import parameters_of

from archspec.graph.build import build_graph
from archspec.graph.parameters import list_parameters
from archspec.operators.table import OPERATORS
from archspec.runtime import prepare
from archspec.spec.catalogue import shipped
from archspec.spec.load import load_spec

SPECS = {
    "densenetbc_digits": (),
    "densenet121": (),
    "densenet40_k12": ("block_config=[2, 2, 2]",),
    "densenetbc100_k12": ("block_config=[2, 3]", "head.num_classes=7"),
}


@pytest.mark.parametrize("spec", SPECS)
def test_names_shapes_and_order_are_those_of_the_built_network(spec):
    """The network that MindSpore builds from the emitted text."""
    prepare()
    from archspec.writers.mindspore.create_model import create_model

    network = create_model(spec, overrides=SPECS[spec])
    built = [(p.name, tuple(p.shape)) for p in network.get_parameters()]
    assert [(name, p.shape) for name, p in parameters_of(spec, *SPECS[spec]).items()] == built


@pytest.mark.parametrize("spec", shipped())
def test_sizes_add_up_to_the_table_of_operators(spec):
    """Learnable values and moving statistics, over the whole catalogue."""
    graph = build_graph(load_spec(spec))
    sizes = {True: 0, False: 0}
    for parameter in list_parameters(graph).values():
        count = 1
        for length in parameter.shape:
            count *= length
        sizes[parameter.role.startswith("moving_")] += count
    operators = [(OPERATORS[op.kind], op.attrs) for op in graph.ops.values()]
    assert sizes[False] == sum(operator.params(attrs) for operator, attrs in operators)
    assert sizes[True] == sum(operator.stats(attrs) for operator, attrs in operators)


def test_mindspore_is_not_needed(no_mindspore):
    """Listing parameters and reading .pth or .safetensors works where importing MindSpore fails."""
    code = "import archspec.graph.parameters, archspec.weights.convert"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], env={"PATH": "", **no_mindspore}, check=False
        ).returncode
        == 0
    )
