"""Optimizers that MindSpore lacks, or whose rule there is another than the field's.

They move the parameters group by group: those of one rate and decay. A network has hundreds of
small tensors, and a rule of ten operators for each takes minutes to compile and longer to run than
the network: so it is one kernel of MindSpore's, or works on a group's parameters as one vector.

Imports mindspore; call `archspec.runtime.prepare` before.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import mindspore as ms
from mindspore import Parameter, Tensor, nn, ops

from archspec.train.engine.parameter_groups import Group
from archspec.train.recipe.optimizer import OptimizerRecipe


class _GroupOptimizer(nn.Optimizer):
    """Holds its parameters group by group."""

    def __init__(self, groups: Sequence[Group], rates: Sequence[float]) -> None:
        super().__init__(list(rates), [p for group in groups for p in group.parameters])
        ends = accumulate((len(group.parameters) for group in groups), initial=0)
        self.spans = tuple((number, *span) for number, span in enumerate(pairwise(ends)))
        self.decays = tuple(group.weight_decay for group in groups)
        self.factors = tuple(group.rate_factor for group in groups)

    def construct(self, gradients: Any) -> Any:
        """Move the parameters."""
        rate = self.get_lr()
        self.assignadd(self.global_step, self.global_step_increase_tensor)
        self.begin_update()
        for number, start, end in self.spans:
            parameters, own = self.parameters[start:end], gradients[start:end]
            self.move_group(number, rate * self.factors[number], parameters, own)
        return True

    def begin_update(self) -> Any:
        """Change what an update changes once for all groups."""
        return True

    def move_group(self, number: int, rate: Any, parameters: Any, gradients: Any) -> Any:
        """Move the parameters of a group."""
        raise NotImplementedError


def _make_power(name: str) -> Any:
    return Parameter(Tensor(1.0, ms.float32), name=name)


class AdamW(_GroupOptimizer):
    """Loshchilov & Hutter 2019, arXiv 1711.05101, with PyTorch's place of eps.

    p <- p - rate (decay p + m' / (sqrt(v') + eps)), m' and v' without their bias to 0.
    MindSpore's kernel corrects no bias: rate, eps and decay are given so that it comes out.
    """

    def __init__(
        self, groups: Sequence[Group], settings: OptimizerRecipe, rates: Sequence[float]
    ) -> None:
        super().__init__(groups, rates)
        self.beta1, self.beta2 = settings.betas
        self.eps = settings.eps
        self.beta1_power, self.beta2_power = _make_power("beta1_power"), _make_power("beta2_power")
        self.kernel = ops.AdamWeightDecay()
        self.moment1 = self.parameters.clone("moment1", "zeros")
        self.moment2 = self.parameters.clone("moment2", "zeros")

    def begin_update(self) -> Any:
        """Count the update in the powers of the betas."""
        ops.assign(self.beta1_power, self.beta1_power * self.beta1)
        ops.assign(self.beta2_power, self.beta2_power * self.beta2)
        return True

    def move_group(self, number: int, rate: Any, parameters: Any, gradients: Any) -> Any:
        """Move each parameter."""
        _, start, end = self.spans[number]
        root = ops.sqrt(1 - self.beta2_power)
        correction = root / (1 - self.beta1_power)
        rule = ops.partial(
            _move_by_adamw,
            self.kernel,
            (self.beta1, self.beta2, self.eps * root),
            rate * correction,
            self.decays[number] / correction,
        )
        moments = self.moment1[start:end], self.moment2[start:end]
        return self.hyper_map(rule, parameters, moments[0], moments[1], gradients)


def _move_by_adamw(
    kernel: Any,
    settings: Any,
    rate: Any,
    decay: Any,
    parameter: Any,
    moment1: Any,
    moment2: Any,
    gradient: Any,
) -> Any:
    beta1, beta2, eps = settings
    kernel(parameter, moment1, moment2, rate, beta1, beta2, eps, decay, gradient)
    return True


class _VectorOptimizer(_GroupOptimizer):
    """Moves the parameters of each group as one vector; a rule says in which direction."""

    remembered: tuple[str, ...] = ()
    """Vectors of a group that the rule remembers, zero at first."""

    def __init__(
        self, groups: Sequence[Group], settings: OptimizerRecipe, rates: Sequence[float]
    ) -> None:
        super().__init__(groups, rates)
        sizes: list[list[int]] = []
        for group in groups:
            sizes.append([parameter.size for parameter in group.parameters])
        self.sizes = tuple(map(tuple, sizes))
        self.begins = tuple(tuple(accumulate(row[:-1], initial=0)) for row in sizes)
        self.slice = ops.Slice()
        self.take_settings(settings)
        for name in self.remembered:
            vectors = [
                Parameter(ops.zeros(sum(row), ms.float32), name=f"{name}.group{number}")
                for number, row in enumerate(sizes)
            ]
            setattr(self, name, ms.ParameterTuple(vectors))

    def take_settings(self, settings: OptimizerRecipe) -> None:
        """Take what the rule needs."""
        raise NotImplementedError

    def move_group(self, number: int, rate: Any, parameters: Any, gradients: Any) -> Any:
        """Move the parameters of a group by a step of all."""
        gradient = self.join(gradients)
        if self.decays[number] > 0:
            decay = self.decays[number] * self.join(parameters)
            step = self.find_decayed_step(number, gradient, decay)
        else:
            step = self.find_step(number, gradient)
        return self.move(number, rate, parameters, step)

    def join(self, tensors: Any) -> Any:
        """Return tensors as one vector."""
        return ops.concat(self.map_(_flatten, tensors))

    def find_step(self, number: int, gradient: Any) -> Any:
        """Return the direction of a group, and remember what the next one needs."""
        raise NotImplementedError

    def find_decayed_step(self, number: int, gradient: Any, decay: Any) -> Any:
        """Return the direction where weights decay, apart from their gradient."""
        return self.find_step(number, gradient) + decay

    def move(self, number: int, rate: Any, parameters: Any, step: Any) -> Any:
        """Move the parameters of a group by their shares of a step."""
        rule = ops.partial(_move, self.slice, rate * step)
        return self.map_(rule, parameters, self.begins[number], self.sizes[number])


def _flatten(tensor: Any) -> Any:
    return ops.reshape(tensor, (-1,))


def _move(take: Any, step: Any, parameter: Any, begin: Any, size: Any) -> Any:
    own = take(step, (begin,), (size,))
    ops.assign_sub(parameter, ops.reshape(own, parameter.shape))
    return True


class Lion(_VectorOptimizer):
    """Chen et al. 2023, arXiv 2302.06675, algorithm 2: the sign of a mean of gradients."""

    remembered = ("moments",)

    def take_settings(self, settings: OptimizerRecipe) -> None:
        """Take the betas."""
        self.beta1, self.beta2 = settings.betas

    def find_step(self, number: int, gradient: Any) -> Any:
        """Return the sign."""
        mean = self.moments[number]
        direction = ops.sign(self.beta1 * mean + (1 - self.beta1) * gradient)
        ops.assign(mean, self.beta2 * mean + (1 - self.beta2) * gradient)
        return direction


class RMSProp(_VectorOptimizer):
    """Hinton's, lecture 6e, as PyTorch has it: mean square from 0, eps outside the root, decay
    added to the gradient.
    """

    remembered = ("mean_square", "moments")

    def take_settings(self, settings: OptimizerRecipe) -> None:
        """Take the shares that are kept, and eps."""
        self.alpha, self.momentum, self.eps = settings.alpha, settings.momentum, settings.eps

    def find_step(self, number: int, gradient: Any) -> Any:
        """Return the gradient by the root of its mean square, or that with momentum."""
        square = self.alpha * self.mean_square[number] + (1 - self.alpha) * ops.square(gradient)
        ops.assign(self.mean_square[number], square)
        direction = gradient / (ops.sqrt(square) + self.eps)
        if self.momentum > 0:
            direction = self.momentum * self.moments[number] + direction
            ops.assign(self.moments[number], direction)
        return direction

    def find_decayed_step(self, number: int, gradient: Any, decay: Any) -> Any:
        """Return the direction of the gradient with the decay."""
        return self.find_step(number, gradient + decay)


class Lamb(_VectorOptimizer):
    """You et al. 2020, arXiv 1904.00962, algorithm 2: Adam's step, as long as the weights are."""

    remembered = ("moment1", "moment2")

    def take_settings(self, settings: OptimizerRecipe) -> None:
        """Take betas and eps."""
        self.beta1, self.beta2 = settings.betas
        self.eps = settings.eps
        self.beta1_power, self.beta2_power = _make_power("beta1_power"), _make_power("beta2_power")
        self.half_square = ops.L2Loss()

    def begin_update(self) -> Any:
        """Count the update in the powers of the betas."""
        ops.assign(self.beta1_power, self.beta1_power * self.beta1)
        ops.assign(self.beta2_power, self.beta2_power * self.beta2)
        return True

    def find_step(self, number: int, gradient: Any) -> Any:
        """Return Adam's direction, without the bias of the means to 0."""
        mean = self.beta1 * self.moment1[number] + (1 - self.beta1) * gradient
        square = self.beta2 * self.moment2[number] + (1 - self.beta2) * ops.square(gradient)
        ops.assign(self.moment1[number], mean)
        ops.assign(self.moment2[number], square)
        root = ops.sqrt(square / (1 - self.beta2_power))
        return mean / (1 - self.beta1_power) / (root + self.eps)

    def move(self, number: int, rate: Any, parameters: Any, step: Any) -> Any:
        """Move each parameter by a step that is as long as the parameter."""
        begins, sizes = self.begins[number], self.sizes[number]
        measure = ops.partial(_measure, self.half_square, self.slice, step)
        weights = ops.stack(self.map_(self.half_square, parameters))
        lengths = ops.stack(self.map_(measure, begins, sizes))
        is_sound = ops.logical_and(weights > 0, lengths > 0)
        ones = ops.ones_like(weights)
        trust = ops.sqrt(ops.select(is_sound, weights, ones) / ops.select(is_sound, lengths, ones))
        rule = ops.partial(_move_scaled, self.slice, step)
        return self.map_(rule, ops.unstack(rate * trust), parameters, begins, sizes)


def _measure(half_square: Any, take: Any, step: Any, begin: Any, size: Any) -> Any:
    return half_square(take(step, (begin,), (size,)))


def _move_scaled(take: Any, step: Any, rate: Any, parameter: Any, begin: Any, size: Any) -> Any:
    own = rate * take(step, (begin,), (size,))
    ops.assign_sub(parameter, ops.reshape(own, parameter.shape))
    return True
