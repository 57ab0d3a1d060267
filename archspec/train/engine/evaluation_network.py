"""A network to judge by, of parameters that are trained elsewhere.

Imports mindspore; call `archspec.runtime.prepare` before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archspec.graph.build import build_graph
from archspec.spec.spec import Spec
from archspec.train.engine.half_precision import lower_precision
from archspec.train.recipe.recipe import Recipe
from archspec.writers.mindspore.create_model import create_model


def make_evaluation_network(spec: Spec, recipe: Recipe, parameters: Mapping[str, Any]) -> Any:
    """Return a network in evaluation mode that holds the very `parameters`: whatever trains them,
    it judges with their values of that moment.

    Its precision is that of the recipe's `val_amp`: parameters are float32 at every level.

    Args:
        spec: the network's.
        recipe: its `amp`, `amp_keep_float32` and `val_amp`.
        parameters: the network's own by their names, or the moving averages of them
            (`TrainStep.averages`).
    """
    network = create_model(spec)
    for _, cell in network.cells_and_names():
        for key, parameter in tuple(cell._params.items()):
            setattr(cell, key, parameters[parameter.name])
    if recipe.val_amp != "O0":
        network = lower_precision(network, build_graph(spec), recipe)
    return network.set_train(False)
