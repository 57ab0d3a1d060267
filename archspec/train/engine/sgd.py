"""Stochastic gradient descent with momentum, in few operators for each parameter.

A network has hundreds of parameters, and what each of them costs the compiler is a good part of
the first step: `nn.SGD` maps decay, centralization, loss scale and rule over all of them, one after
the other, with a kernel of its own for each parameter. Here one function does it all, bit for bit
the same.

Imports mindspore; call `archspec.runtime.prepare` before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mindspore as ms
from mindspore import Tensor, nn, ops

from archspec.train.engine.parameter_groups import Group
from archspec.train.recipe.optimizer import OptimizerRecipe

# What Python's `*` and `+` stand for is looked up by the compiler at every use.
_MULTIPLY, _ADD = ops.Mul(), ops.AddN()


class SGD(nn.Optimizer):
    """PyTorch's rule: v <- momentum v + g + decay p; p <- p - rate v.

    Gradients are those of the loss times `loss_scale`. State is called as that of `nn.SGD`.
    """

    def __init__(
        self,
        parameters: Sequence[Any],
        groups: Sequence[Group],
        settings: OptimizerRecipe,
        rates: Sequence[float],
        loss_scale: float,
    ) -> None:
        """Take the parameters in their own order, and what `groups` say of each of them."""
        super().__init__(list(rates), list(parameters), loss_scale=loss_scale)
        group_of = {p.name: group for group in groups for p in group.parameters}
        self.decays = tuple(group_of[p.name].weight_decay * loss_scale for p in parameters)
        self.factors = tuple(group_of[p.name].rate_factor for p in parameters)
        self.is_uniform = len(groups) == 1
        self.momentum, self.share = Tensor(settings.momentum, ms.float32), 1 / loss_scale
        self.accum = self.parameters.clone("accum", "zeros")
        self.kernel = ops.ApplyMomentum()

    def construct(self, gradients: Any) -> Any:
        """Move the parameters."""
        rate = self.get_lr()
        self.assignadd(self.global_step, self.global_step_increase_tensor)
        if self.is_uniform:
            return self.move_alike(rate, gradients)
        rates = self.map_(ops.partial(_MULTIPLY, rate), self.factors)
        return self.move_each(rates, gradients)

    def move_alike(self, rate: Any, gradients: Any) -> Any:
        """Move all with one rate and one decay."""
        rule = ops.partial(_move, self.kernel, self.momentum, self.share, self.decays[0], rate)
        return self.hyper_map(rule, gradients, self.parameters, self.accum)

    def move_each(self, rates: Any, gradients: Any) -> Any:
        """Move each with its own."""
        rule = ops.partial(_move, self.kernel, self.momentum, self.share)
        return self.hyper_map(rule, self.decays, rates, gradients, self.parameters, self.accum)


class Nesterov(SGD):
    """p <- p - rate (g + decay p + momentum v)."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # MindSpore 2.10's ApplyMomentum for CPUs ignores use_nesterov without a word.
        self.kernel = ops.SGD(0.0, 0.0, True)
        self.stat = self.parameters.clone("stat", "ones")  # 1: was not moved yet

    def move_alike(self, rate: Any, gradients: Any) -> Any:
        """Move all with one rate and one decay."""
        rule = ops.partial(
            _move_ahead, self.kernel, self.momentum, self.share, self.decays[0], rate
        )
        return self.hyper_map(rule, gradients, self.parameters, self.accum, self.stat)

    def move_each(self, rates: Any, gradients: Any) -> Any:
        """Move each with its own."""
        rule = ops.partial(_move_ahead, self.kernel, self.momentum, self.share)
        return self.hyper_map(
            rule, self.decays, rates, gradients, self.parameters, self.accum, self.stat
        )


# What both rules begin with is written out in each: a function of its own, which MindSpore compiles
# for every parameter, makes densenet121's first step 3 % longer.


def _move(
    kernel: Any,
    momentum: Any,
    share: Any,
    decay: Any,
    rate: Any,
    gradient: Any,
    parameter: Any,
    velocity: Any,
) -> Any:
    if decay > 0:
        gradient = _ADD((_MULTIPLY(parameter, decay), gradient))
    if share != 1:
        gradient = _MULTIPLY(gradient, share)
    return kernel(parameter, velocity, rate, gradient, momentum)


def _move_ahead(
    kernel: Any,
    momentum: Any,
    share: Any,
    decay: Any,
    rate: Any,
    gradient: Any,
    parameter: Any,
    velocity: Any,
    is_first: Any,
) -> Any:
    if decay > 0:
        gradient = _ADD((_MULTIPLY(parameter, decay), gradient))
    if share != 1:
        gradient = _MULTIPLY(gradient, share)
    return kernel(parameter, gradient, rate, velocity, momentum, is_first)
