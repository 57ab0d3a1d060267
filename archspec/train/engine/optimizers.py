"""The optimizer of a recipe: MindSpore's own where its rule is what the field means by the name.

Imports mindspore; call `archspec.runtime.prepare` before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mindspore import nn, ops

from archspec.train.engine.group_optimizers import AdamW, Lamb, Lion, RMSProp
from archspec.train.engine.parameter_groups import Group, Parts, group_parameters
from archspec.train.engine.sgd import SGD, Nesterov
from archspec.train.recipe.recipe import Recipe

Rates = Sequence[float]
_OURS = {"adamw": AdamW, "lion": Lion, "lamb": Lamb, "rmsprop": RMSProp}


def make_optimizer(network: Any, recipe: Recipe, rates: Rates, parts: Parts | None = None) -> Any:
    """Return the optimizer of a network's trainable parameters.

    Args:
        network: whose frozen parts are frozen already.
        recipe: its `optimizer`.
        rates: of each update.
        parts: the network's, for a recipe with `layer_decay`.
    """
    settings, kind = recipe.optimizer, recipe.optimizer.kind
    if settings.is_sgd:
        return make_sgd(network, recipe, rates, parts)
    groups = group_parameters(network.trainable_params(), settings, parts or {})
    if kind in _OURS:
        return _OURS[kind](groups, settings, rates)
    beta1, beta2 = settings.betas
    listed = _list_groups(network, groups)
    adam = _Adam(listed, list(rates), beta1, beta2, settings.eps, weight_decay=0.0)
    return adam.with_factors(groups)


def make_sgd(network: Any, recipe: Recipe, rates: Rates, parts: Parts | None = None) -> Any:
    """Return SGD with momentum whose rate follows `rates` update by update."""
    settings, parameters = recipe.optimizer, network.trainable_params()
    groups = group_parameters(parameters, settings, parts or {})
    rule = Nesterov if settings.is_nesterov else SGD
    return rule(parameters, groups, settings, rates, _scale_it_undoes(recipe))


def _scale_it_undoes(recipe: Recipe) -> float:
    """The loss scale, where nothing before the optimizer needs the gradients themselves."""
    scale = recipe.loss_scale
    if isinstance(scale, str) or recipe.clip is not None or recipe.on_nan == "skip":
        return 1.0
    return scale


def _list_groups(network: Any, groups: Sequence[Group]) -> list[dict[str, Any]]:
    """As MindSpore's optimizers take them."""
    listed: list[dict[str, Any]] = [
        {"params": list(group.parameters), "weight_decay": group.weight_decay} for group in groups
    ]
    # Or the optimizer would hold its parameters group by group, not in the network's order.
    return [*listed, {"order_params": network.trainable_params()}]


class _Adam(nn.Adam):
    """MindSpore's, with a rate of each parameter: the schedule's times a factor.

    MindSpore's own way, a list of rates for each group, compiles them once for each parameter.
    """

    def with_factors(self, groups: Sequence[Group]) -> Any:
        """Return the optimizer, its rates those of the groups."""
        factors = {p.name: group.rate_factor for group in groups for p in group.parameters}
        self.factors = tuple(factors[p.name] for p in self.parameters)
        self.is_group_lr = set(self.factors) != {1.0}
        return self

    def get_lr(self) -> Any:
        """Return the update's rate, or that of each parameter."""
        rate = self.learning_rate(self.global_step).reshape(())
        if self.is_group_lr:
            return self.map_(ops.partial(_multiply, rate), self.factors)
        return rate


def _multiply(rate: Any, factor: Any) -> Any:
    return rate * factor
