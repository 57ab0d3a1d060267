"""What a recipe says of how weights are moved."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from archspec.settings import SpecModel
from archspec.train.recipe.numbers import Share


class OptimizerRecipe(SpecModel):
    """Stochastic gradient descent with momentum."""

    momentum: Share = 0.9
    """Share of the last step's direction that is kept."""
    nesterov: Annotated[bool, Field(strict=True)] = False
    """Whether the gradient is taken one step ahead."""
    weight_decay: Annotated[float, Field(strict=True, ge=0, le=1)] = 1e-4
    """Times the weights, added to the gradient."""
    decay_norm_and_bias: Annotated[bool, Field(strict=True)] = True
    """Whether the decay reaches gammas, betas and biases too,
    as in MindCV's and the paper's recipes."""
