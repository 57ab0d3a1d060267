"""The optimizer of a recipe: MindSpore's own where its rule is what the field means by the name.

Imports mindspore; call `archspec.runtime.prepare` before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops

from archspec.train.flat_optimizers import Lamb, Lion, RMSProp
from archspec.train.parameter_groups import Group, Parts, group_parameters
from archspec.train.recipe.model import Recipe
from archspec.train.recipe.optimizer import OptimizerRecipe

Rates = Sequence[float]
_FLAT = {"lion": Lion, "lamb": Lamb, "rmsprop": RMSProp}


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
    if kind in _FLAT:
        return _FLAT[kind](groups, settings, rates)
    listed = _list_groups(network, groups)
    optimizer = (
        AdamW(listed, settings, rates) if kind == "adamw" else _make_adam(listed, settings, rates)
    )
    return optimizer.with_factors(groups)


def make_sgd(network: Any, recipe: Recipe, rates: Rates, parts: Parts | None = None) -> Any:
    """Return SGD with momentum whose rate follows `rates` update by update."""
    settings = recipe.optimizer
    groups = group_parameters(network.trainable_params(), settings, parts or {})
    # nn.Momentum would do, but MindSpore 2.10's kernel of it for CPUs ignores use_nesterov without
    # a word.
    return _SGD(
        _list_groups(network, groups),
        learning_rate=list(rates),
        momentum=settings.momentum,
        dampening=0.0,
        weight_decay=0.0,
        nesterov=settings.is_nesterov,
        loss_scale=_scale_it_undoes(recipe),
    ).with_factors(groups)


def _make_adam(groups: Any, settings: OptimizerRecipe, rates: Rates) -> Any:
    beta1, beta2 = settings.betas
    return _Adam(groups, list(rates), beta1, beta2, settings.eps, weight_decay=0.0)


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


class _RatesByPart:
    """Of one of MindSpore's optimizers: a rate of each parameter, the schedule's times a factor.

    MindSpore's own way, a list of rates for each group, compiles them once for each parameter.
    """

    def with_factors(self: Any, groups: Sequence[Group]) -> Any:
        """Return the optimizer, its rates those of the groups."""
        factors = {p.name: group.rate_factor for group in groups for p in group.parameters}
        self.factors = tuple(factors[p.name] for p in self.parameters)
        self.is_group_lr = len(set(self.factors)) > 1
        return self

    def get_lr(self: Any) -> Any:
        """Return the update's rate, or that of each parameter."""
        rate = self.learning_rate(self.global_step).reshape(())
        if self.is_group_lr:
            return self.map_(ops.partial(_multiply, rate), self.factors)
        return rate


def _multiply(rate: Any, factor: Any) -> Any:
    return rate * factor


class _SGD(_RatesByPart, nn.SGD):  # type: ignore[misc]
    """MindSpore's."""


class _Adam(_RatesByPart, nn.Adam):  # type: ignore[misc]
    """MindSpore's."""


class AdamW(_RatesByPart, nn.Optimizer):  # type: ignore[misc]
    """Loshchilov & Hutter 2019, arXiv 1711.05101, with PyTorch's place of eps.

    p <- p - rate (decay p + m' / (sqrt(v') + eps)), m' and v' without their bias to 0.
    MindSpore's kernel corrects no bias: rate, eps and decay are given so that it comes out.
    """

    def __init__(self, groups: Any, settings: OptimizerRecipe, rates: Rates) -> None:
        super().__init__(list(rates), groups, weight_decay=0.0)
        self.beta1, self.beta2 = settings.betas
        self.eps = settings.eps
        self.moment1 = self.parameters.clone("moment1", "zeros")
        self.moment2 = self.parameters.clone("moment2", "zeros")
        self.beta1_power = Parameter(Tensor(1.0, ms.float32), name="beta1_power")
        self.beta2_power = Parameter(Tensor(1.0, ms.float32), name="beta2_power")
        self.kernel = ops.AdamWeightDecay()

    def construct(self, gradients: Any) -> Any:
        """Move the parameters."""
        rates = self.get_lr()
        self.assignadd(self.global_step, self.global_step_increase_tensor)
        power1, power2 = self.beta1_power * self.beta1, self.beta2_power * self.beta2
        ops.assign(self.beta1_power, power1)
        ops.assign(self.beta2_power, power2)
        root = ops.sqrt(1 - power2)
        eps, correction = self.eps * root, root / (1 - power1)
        rule = ops.partial(_move_by_adamw, self.kernel, self.beta1, self.beta2, eps, correction)
        if not self.is_group_lr:
            rates = (rates,) * self.param_length
        return self.hyper_map(
            rule, rates, self.weight_decay, self.parameters, self.moment1, self.moment2, gradients
        )


def _move_by_adamw(
    kernel: Any,
    beta1: Any,
    beta2: Any,
    eps: Any,
    correction: Any,
    rate: Any,
    decay: Any,
    parameter: Any,
    moment1: Any,
    moment2: Any,
    gradient: Any,
) -> Any:
    own_rate, own_decay = rate * correction, decay / correction
    kernel(parameter, moment1, moment2, own_rate, beta1, beta2, eps, own_decay, gradient)
    return True
