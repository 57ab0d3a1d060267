"""The recipe: how a network is initialised, fed and optimised.
Read like a spec: YAML, `extends`, `--set`.

What changes the function of the network stands in the spec; a recipe may carry `overrides` for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from archspec.errors import Place, TrainingError, format_count
from archspec.settings import SpecModel, raise_broken_rules
from archspec.spec.load import Override, Overrides, is_overridden, load_model
from archspec.spec.written_model import WrittenModel
from archspec.train.recipe.ineffective_settings import find_ineffective, find_meaningless
from archspec.writers.mindspore.initial_values import USUAL, Initialisation

Share = Annotated[float, Field(strict=True, ge=0, lt=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(strict=True, gt=0, allow_inf_nan=False)]
PixelValue = Annotated[float, Field(strict=True, ge=0, le=255, allow_inf_nan=False)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
Batch = Annotated[int, Field(strict=True, ge=1, le=65_536)]
Milestone = Annotated[float, Field(strict=True, ge=0, le=100_000, allow_inf_nan=False)]


# The recipe of each kind of data set, where the user names none; its size decides how one trains.
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
    """What changes training images at random."""
    color_jitter: Share = 0.0
    """Brightness, contrast and saturation, after `augment`:
    a factor within 1 - x and 1 + x of each, in any order."""
    mean: Annotated[tuple[PixelValue, ...], Field(min_length=1, max_length=3)] = (127.5,)
    """Subtracted from each channel."""
    std: Annotated[
        tuple[Annotated[float, Field(strict=True, gt=0, le=255)], ...], Field(min_length=1)
    ] = (127.5,)
    """Each channel is divided by it."""
    crop_pct: Annotated[float, Field(strict=True, gt=0, le=1)] | None = None
    """Evaluation: the shorter side is resized to size / crop_pct, then the centre is cropped; where
    absent, the image is resized to the size.
    MindCV's, torchvision's and the paper's: 0.875, 256 for 224 pixels."""
    val_fraction: Annotated[float, Field(strict=True, gt=0, lt=1)] = 0.1
    """Share of the training images that is held out to choose the checkpoint,
    where there is no val set."""
    workers: Annotated[int, Field(strict=True, ge=1, le=64)] = 2
    """Processes that read and change images."""


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


class ScheduleRecipe(SpecModel):
    """The learning rate, stepped every iteration."""

    kind: Literal["cosine", "step", "constant"] = "cosine"
    """How the rate falls over the run."""
    learning_rate: Annotated[float, Field(strict=True, gt=0, le=100, allow_inf_nan=False)] = 0.1
    """The rate at the start, after the warm-up."""
    final: Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)] = 0.0
    """Cosine: the rate at the end, at most `learning_rate`."""
    milestones: tuple[Milestone, ...] = (0.5, 0.75)
    """Step: after which the rate is multiplied by `factor`,
    rising; below 1 shares of the run, from 1 on epochs."""
    factor: Annotated[float, Field(strict=True, gt=0, le=1)] = 0.1
    """Step: what the rate is multiplied by."""
    warmup_epochs: Annotated[int, Field(strict=True, ge=0, le=10_000)] = 0
    """Epochs in which the rate rises from 0, at most all."""


class Recipe(WrittenModel):
    """How a network is trained."""

    name: Annotated[str, Field(strict=True, max_length=64)] = "recipe"
    """The recipe's name."""
    source: Annotated[str, Field(strict=True, max_length=1_000)] = ""
    """Where the recipe is described: a paper, a file."""
    epochs: Annotated[int, Field(strict=True, ge=1, le=100_000)]
    """Times that all training images are seen."""
    batch_size: Batch
    """Images per device and step; `global_batch` where absent."""
    global_batch: Annotated[int, Field(strict=True, ge=1, le=2**24)] | None = None
    """Images per step on all devices that `learning_rate` is meant for; where absent, other devices
    and batches change neither rate nor `batch_size`."""
    scaling: Literal["keep_global_batch", "scale_rate"] = "keep_global_batch"
    """What another number of devices or another batch changes: `keep_global_batch` gives each
    device an equal share of `global_batch`, `scale_rate` multiplies the rate by devices x
    batch_size / global_batch (arXiv 1706.02677)."""
    seed: Seed = 0
    """Of all that is drawn at random."""
    initialisation: Initialisation = USUAL
    """Of convolutions, variance 2 / fan (arXiv 1502.01852). Fan-out is MindCV's (`HeNormal(sqrt 5,
    "fan_out", "relu")`, where relu ignores the slope) and that of the paper's own code
    (liuzhuang13/DenseNet, densenet.lua); fan-in is torchvision's (`kaiming_normal_`). The
    classifier is the same in all three: He uniform (a = sqrt 5, fan-in), which is within 1 /
    sqrt(inputs), and bias 0; norms 1 and 0."""
    label_smoothing: Share = 0.0
    """Share of the target that is spread over all classes."""
    amp: Literal["O0", "O2"] = "O0"
    """O2: half precision but for norms, as `mindspore.amp` defines it; validation too."""
    loss_scale: Positive = 1.0
    """What the loss is multiplied by, and gradients divided by,
    so that half precision keeps small ones; fixed."""
    optimizer: OptimizerRecipe = OptimizerRecipe()
    schedule: ScheduleRecipe = ScheduleRecipe()
    data: DataRecipe = DataRecipe()
    overrides: dict[str, Any] = Field(default_factory=dict)
    """For the spec: key paths and values, as with `--set`."""
    log_every: Annotated[int, Field(strict=True, ge=1)] = 10
    """Steps between two lines of metrics."""
    keep_checkpoints: Annotated[int, Field(strict=True, ge=0, le=100_000)] = 0
    """Of how many of the last epochs the checkpoint is kept (`epoch-0012.ckpt`),
    beside the last and the best."""

    @model_validator(mode="before")
    @classmethod
    def _fill_batch_size(cls, written: Any) -> Any:
        if (
            not isinstance(written, dict)
            or "batch_size" in written
            or "global_batch" not in written
        ):
            return written
        batch = written["global_batch"]
        is_sound = type(batch) is int and batch >= 1  # where not, the fault is global_batch's alone
        return {**written, "batch_size": min(batch, 65_536) if is_sound else 1}

    @model_validator(mode="after")
    def _check_all_effective(self) -> Self:
        raise_broken_rules(find_ineffective(self))
        return self

    def resolved(self) -> dict[str, Any]:
        """Return plain values from which the equal recipe is read again.

        Settings that mean nothing beside the others are left out.
        """
        values = super().resolved()
        for path in find_meaningless(self):
            holder = values
            for key in path[:-1]:
                holder = holder[str(key)]
            holder.pop(str(path[-1]), None)
        return values

    def spec_overrides(self) -> tuple[Override, ...]:
        """Return what the recipe sets in the spec, each at its place in the recipe."""
        return tuple(
            Override((key, value), self._document.place(("overrides", key)))
            for key, value in self.overrides.items()
        )


def load_recipe(name: str | Path, overrides: Overrides = ()) -> Recipe:
    """Return the recipe of a shipped name or of a YAML file.

    Raises:
        SpecError: every fault found, each with its place.
    """
    return load_model(Recipe, str(name), overrides, kind="recipe")


@dataclass(frozen=True)
class Scaling:
    """What a number of devices changes in a recipe,
    and the line that says so ('' where there is nothing to say).
    """

    overrides: tuple[Override, ...]
    note: str


def scale_recipe(recipe: Recipe, devices: int) -> Scaling:
    """Return how the recipe keeps its global batch on so many devices, or scales its learning rate.

    What the user gave, `--batch-size` or `--lr`, stays as it is;
    a batch of the user's own scales the rate.

    Raises:
        TrainingError: T010, the devices cannot share the global batch equally.
    """
    whole = recipe.global_batch
    keeps_global_batch = recipe.scaling == "keep_global_batch"
    if whole is not None and keeps_global_batch and not is_overridden(recipe, ("batch_size",)):
        return _keep_global_batch(recipe, whole, devices)
    shares = _describe_shares(devices, recipe.batch_size)
    if whole is None:
        rate = f"learning rate {recipe.schedule.learning_rate:g}"
        stays = f"{shares}; recipe {recipe.name} names no global_batch: {rate}"
        return Scaling((), stays if devices > 1 else "")
    if whole == devices * recipe.batch_size:
        return Scaling((), f"{shares}, as the recipe has it" if devices > 1 else "")
    return _scale_rate(recipe, whole, devices)


def _describe_shares(devices: int, batch_size: int) -> str:
    factors = f"{format_count(devices, 'device')} x {format_count(batch_size, 'image')}"
    return f"global batch {devices * batch_size:,} = {factors}"


def _keep_global_batch(recipe: Recipe, whole: int, devices: int) -> Scaling:
    share, rest = divmod(whole, devices)
    place = recipe.place(("global_batch",))
    if rest:
        fewer = max(count for count in range(1, devices) if whole % count == 0)
        cure = f"--devices {fewer}, or --batch-size N, which scales the learning rate"
        rule = f"global_batch (={whole}) must be a multiple of the {devices} devices that share it"
        raise TrainingError.one("T010", rule, place, cure)
    if share == recipe.batch_size:
        return Scaling(
            (), f"{_describe_shares(devices, share)}, as the recipe has it" if devices > 1 else ""
        )
    rate = f"{recipe.schedule.learning_rate:g}"
    note = f"{_describe_shares(devices, share)}: kept, so the learning rate stays {rate}"
    return Scaling((Override(("batch_size", share), Place(place, "found")),), note)


def _scale_rate(recipe: Recipe, whole: int, devices: int) -> Scaling:
    actual, schedule = devices * recipe.batch_size, recipe.schedule
    rate_place = recipe.place(("schedule", "learning_rate"))
    place = Place(f"{rate_place} x {actual} / {whole}", "found")
    told = f"{_describe_shares(devices, recipe.batch_size)} instead of {whole:,}"
    if is_overridden(recipe, ("schedule", "learning_rate")):
        changed: dict[str, float] = {}
        note = f"{told}; learning rate {schedule.learning_rate:g} as given, not scaled"
    else:
        rates = {"learning_rate": schedule.learning_rate}
        if schedule.kind == "cosine":
            rates["final"] = schedule.final
        changed = {f"schedule.{key}": rate * actual / whole for key, rate in rates.items()}
        after = changed["schedule.learning_rate"]
        note = f"{told}: learning rate scaled linearly, {schedule.learning_rate:g} -> {after:g}"
    # The rate is now that of the actual batch: a recipe that is saved so and read again must not be
    # scaled twice.
    settings = {"global_batch": actual, **changed}
    return Scaling(tuple(Override((key, value), place) for key, value in settings.items()), note)
