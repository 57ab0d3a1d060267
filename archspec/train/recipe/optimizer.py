"""What a recipe says of how weights are moved."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from archspec.settings import SpecModel
from archspec.spec.reading.dependent_settings import fill_defaults_of_kind
from archspec.train.recipe.numbers import Share

Beta = Annotated[float, Field(strict=True, gt=0, lt=1, allow_inf_nan=False)]
Epsilon = Annotated[float, Field(strict=True, gt=0, le=1)]


class OptimizerRecipe(SpecModel):
    """How weights follow their gradients."""

    kind: Literal["sgd", "momentum", "nesterov", "adam", "adamw", "lion", "lamb", "rmsprop"] = "sgd"
    """sgd; momentum and nesterov are sgd with a momentum above 0, the latter one step ahead. adam:
    arXiv 1412.6980, section 2, as MindSpore has it; adamw: arXiv 1711.05101 and rmsprop, as PyTorch
    has them; lion: arXiv 2302.06675; lamb: arXiv 1904.00962."""
    momentum: Share = 0.9
    """Share of the last step's direction that is kept; rmsprop: 0 where absent."""
    nesterov: Annotated[bool, Field(strict=True)] = False
    """Whether the gradient is taken one step ahead."""
    betas: Annotated[tuple[Beta, ...], Field(min_length=2, max_length=2)] = (0.9, 0.999)
    """Adam, adamw, lamb, lion: shares of the means of gradients, and of their squares, that are
    kept; lion: of its direction, and of its mean, [0.9, 0.99] where absent."""
    alpha: Beta = 0.99
    """Rmsprop: share of the mean of squared gradients that is kept."""
    eps: Epsilon = 1e-8
    """Adam, adamw, lamb, rmsprop: added to the root that is divided by; lamb: 1e-6 where absent."""
    weight_decay: Annotated[float, Field(strict=True, ge=0, le=1)] = 1e-4
    """Times the weights, added to the gradient; adamw, lion, lamb: to the step, times the rate."""
    decay_norm_and_bias: Annotated[bool, Field(strict=True)] = True
    """Whether the decay reaches gammas, betas and biases too,
    as in MindCV's and the paper's recipes."""
    layer_decay: Annotated[float, Field(strict=True, gt=0, le=1)] = 1.0
    """What the rate of each part is of that of the part behind it: stem, blocks and transitions
    between them, head. The head has the schedule's own."""

    @model_validator(mode="before")
    @classmethod
    def _fill_defaults(cls, written: Any) -> Any:
        return fill_defaults_of_kind("optimizer", written)

    @property
    def is_sgd(self) -> bool:
        """Whether the rule is stochastic gradient descent, by whichever name."""
        return self.kind in ("sgd", "momentum", "nesterov")

    @property
    def is_nesterov(self) -> bool:
        """Whether the gradient is taken one step ahead."""
        return self.kind == "nesterov" or (self.nesterov and self.momentum > 0)
