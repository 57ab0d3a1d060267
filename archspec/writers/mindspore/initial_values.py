"""The values with which a network starts:
a function of the emitted module, which its network calls.

So a network is the same wherever it is made: by `train`, by `create_model` for a loop of one's own,
or by the saved module without this package.
"""

from __future__ import annotations

from typing import Literal

from archspec.operators.table import ROWS

Initialisation = Literal["he_normal_fan_out", "he_normal_fan_in"]
"""Of convolutions, what the emitted function knows;
a recipe may choose another than the usual one."""
USUAL: Initialisation = "he_normal_fan_out"


def _classes(attribute: str) -> str:
    """MindSpore's own cells of which rows say that they start so, as `isinstance` takes them."""
    found = dict.fromkeys(getattr(row.mindspore, attribute) for row in ROWS)
    named = ", ".join(filter(None, found))
    return f"({named})" if "," in named else named


# These are MindSpore's own cells, which start otherwise by themselves; a cell that a row defines
# begins as its definition says.
# MindSpore's own HeNormal takes the fans from the weight's shape: of a convolution in groups it
# counts the outputs of all groups, and of a transposed one it takes inputs for outputs. For a plain
# convolution this is
# the same.
INITIALISE = f'''\
def initialise(network, kind="he_normal_fan_out"):
    """Convolutions start He normal, dense layers He uniform, biases at 0."""
    for _, cell in network.cells_and_names():
        if isinstance(cell, {_classes("he_normal")}):
            outwards = kind == "he_normal_fan_out"
            channels = cell.out_channels if outwards else cell.in_channels
            fan = channels // cell.group * math.prod(cell.kernel_size)
            start(cell.weight, Normal(math.sqrt(2 / fan)))
        elif isinstance(cell, {_classes("he_uniform")}):
            start(cell.weight, HeUniform(math.sqrt(5)))
        else:
            continue
        if cell.has_bias:
            start(cell.bias, "zeros")


def start(parameter, values):
    values = initializer(values, parameter.shape, parameter.dtype)
    parameter.set_data(values.init_data())
'''
