"""Which parameters are moved, and how: frozen parts, rates of each part, decay.

Imports mindspore where it changes a network; call `archspec.runtime.prepare` before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archspec.errors import SpecError
from archspec.train.recipe.optimizer import OptimizerRecipe
from archspec.train.recipe.recipe import Recipe

Parts = Mapping[str, Sequence[str]]
"""Names of each part's tensors, see `archspec.graph.parts.list_parts`."""


def find_frozen(recipe: Recipe, parts: Parts) -> frozenset[str]:
    """Return the names of the tensors that a recipe keeps as they are.

    Raises:
        SpecError: S006, a part that the network has not, or nothing that is left to train.
    """
    unknown = [part for part in recipe.freeze if part not in parts]
    place = recipe.place(("freeze",))
    if unknown:
        message = f"freeze names {', '.join(unknown)}, which the network has not"
        raise SpecError.one("S006", message, place, f"its parts are {', '.join(parts)}")
    if len(recipe.freeze) == len(parts):
        raise SpecError.one("S006", "freeze leaves nothing to train", place, "leave out the head")
    return frozenset(name for part in recipe.freeze for name in parts[part])


def freeze(network: Any, names: frozenset[str]) -> None:
    """Keep the named parameters as they are, and norms among them to their moving statistics.

    A norm that went on judging by each batch would change what its frozen part gives.
    """
    for parameter in network.get_parameters():
        if parameter.name in names:
            parameter.requires_grad = False
    for _, cell in network.cells_and_names():
        statistics = getattr(cell, "moving_mean", None)
        if statistics is not None and statistics.name in names:
            cell.use_batch_statistics = False


@dataclass(frozen=True)
class Group:
    """Parameters that are moved alike."""

    parameters: tuple[Any, ...]
    weight_decay: float
    rate_factor: float
    """Times the schedule's rate."""


def group_parameters(
    parameters: Sequence[Any], settings: OptimizerRecipe, parts: Parts
) -> list[Group]:
    """Return groups of parameters of one decay and one rate.

    Args:
        parameters: those that are trained.
        settings: what the recipe says.
        parts: the network's, whose rates differ by `layer_decay`.
    """
    factors = _find_rate_factors(settings.layer_decay, parts)
    groups: dict[tuple[float, bool], list[Any]] = {}
    for parameter in parameters:
        # Gammas, betas and biases are the parameters of one dimension.
        is_decayed = settings.decay_norm_and_bias or parameter.ndim > 1
        factor = factors.get(parameter.name, 1.0)
        groups.setdefault((factor, is_decayed), []).append(parameter)
    return [
        Group(tuple(members), settings.weight_decay * is_decayed, factor)
        for (factor, is_decayed), members in groups.items()
    ]


def _find_rate_factors(layer_decay: float, parts: Parts) -> dict[str, float]:
    """By parameter: `layer_decay` once for each part that lies behind its own."""
    factors = {}
    for behind, part in enumerate(reversed(tuple(parts))):
        factors.update(dict.fromkeys(parts[part], layer_decay**behind))
    return factors
