"""The recipe: how a network is initialised, fed and optimised. Read like a spec: YAML, `extends`, `--set`.

What changes the function of the network stands in the spec; a recipe may carry `overrides` for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from archspec.spec.load import load_document, override, validate
from archspec.spec.model import SpecModel

Share = Annotated[float, Field(strict=True, ge=0, lt=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
PixelValue = Annotated[float, Field(strict=True, ge=0, le=255, allow_inf_nan=False)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**31)]


# The recipe of each kind of data set, where the user names none.
RECIPES = {
    "digits": "digits",
    "folder": "imagefolder",
    "cifar10": "cifar_paper",
    "cifar100": "cifar_paper",
    "mnist": "mnist",
}


class DataRecipe(SpecModel):
    """What happens to an image before the network reads it; mean and std in 0-255 units."""

    augment: Literal["none", "affine", "pad_crop_flip", "random_resized_crop"] = "none"
    color_jitter: Share = 0.0
    """Brightness, contrast and saturation, with `random_resized_crop`."""
    mean: Annotated[tuple[PixelValue, ...], Field(min_length=1, max_length=3)] = (127.5,)
    std: Annotated[tuple[Annotated[float, Field(strict=True, gt=0, le=255)], ...], Field(min_length=1)] = (127.5,)
    crop_pct: Annotated[float, Field(strict=True, gt=0, le=1)] | None = None
    """Evaluation: the shorter side is resized to size / crop_pct, then the centre is cropped."""
    val_fraction: Annotated[float, Field(strict=True, gt=0, lt=1)] = 0.1
    """Share of the training images that is held out to choose the checkpoint, where there is no val set."""
    workers: Annotated[int, Field(strict=True, ge=1, le=64)] = 2


class OptimizerRecipe(SpecModel):
    """Stochastic gradient descent with momentum."""

    momentum: Share = 0.9
    nesterov: Annotated[bool, Field(strict=True)] = False
    weight_decay: Annotated[float, Field(strict=True, ge=0, le=1)] = 1e-4
    decay_norm_and_bias: Annotated[bool, Field(strict=True)] = True
    """Whether the decay reaches gammas, betas and biases too, as in MindCV's and the paper's recipes."""


class ScheduleRecipe(SpecModel):
    """The learning rate, stepped every iteration."""

    kind: Literal["cosine", "step", "constant"] = "cosine"
    learning_rate: Annotated[float, Field(strict=True, gt=0, le=100, allow_inf_nan=False)] = 0.1
    final: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)] = 0.0
    """Cosine: the rate at the end."""
    milestones: tuple[Share, ...] = (0.5, 0.75)
    """Step: shares of the run after which the rate is multiplied by `factor`."""
    factor: Annotated[float, Field(strict=True, gt=0, le=1)] = 0.1
    warmup_epochs: Annotated[int, Field(strict=True, ge=0, le=10_000)] = 0


class Recipe(SpecModel):
    """How a network is trained."""

    name: Annotated[str, Field(strict=True, max_length=64)] = "recipe"
    source: Annotated[str, Field(strict=True, max_length=1_000)] = ""
    epochs: Annotated[int, Field(strict=True, ge=1, le=100_000)]
    batch_size: Annotated[int, Field(strict=True, ge=1, le=65_536)]
    """Images per device and step."""
    seed: Seed = 0
    initialisation: Literal["he_normal_fan_out", "he_normal_fan_in"] = "he_normal_fan_out"
    """Of convolutions: fan-out as in MindCV, fan-in as in torchvision. Classifier: He uniform, bias 0."""
    label_smoothing: Share = 0.0
    amp: Literal["O0", "O2"] = "O0"
    """O2: half precision but for norms, as `mindspore.amp` defines it."""
    loss_scale: Positive = 1.0
    optimizer: OptimizerRecipe = OptimizerRecipe()
    schedule: ScheduleRecipe = ScheduleRecipe()
    data: DataRecipe = DataRecipe()
    overrides: dict[str, Any] = Field(default_factory=dict)
    """For the spec: key paths and values, as with `--set`."""
    log_every: Annotated[int, Field(strict=True, ge=1)] = 10
    """Steps between two lines of metrics."""

    def resolved(self) -> dict[str, Any]:
        """Return plain values from which the equal recipe is read again."""
        return self.model_dump(mode="json", exclude_none=True)


def load_recipe(name: str | Path, overrides: Iterable[str] | Mapping[str, Any] = ()) -> Recipe:
    """Return the recipe of a shipped name or of a YAML file.

    Raises:
        SpecError: every fault found, each with its place.
    """
    return validate(Recipe, override(load_document(str(name), kind="recipe"), overrides))
