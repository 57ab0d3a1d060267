"""The recipe: how a network is initialised, fed and optimised.
Read like a spec: YAML, `extends`, `--set`.

What changes the function of the network stands in the spec; a recipe may carry `overrides` for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from archspec.errors import Diagnostic, SpecError, format_count
from archspec.settings import raise_broken_rules
from archspec.spec.load import load_model
from archspec.spec.override import Override, Overrides
from archspec.spec.spec import Spec
from archspec.spec.written_model import WrittenModel
from archspec.train.recipe.ascend_settings import AscendRecipe
from archspec.train.recipe.data import DataRecipe
from archspec.train.recipe.foreign_words import FOREIGN_KEYS
from archspec.train.recipe.ineffective_settings import find_ineffective, find_meaningless
from archspec.train.recipe.keeping import (
    Duration,
    EarlyStoppingRecipe,
    Interval,
    KeepRecipe,
)
from archspec.train.recipe.kept_kinds import KeptKinds
from archspec.train.recipe.loss import LossRecipe
from archspec.train.recipe.mask_settings import find_unfit
from archspec.train.recipe.numbers import Batch, Seed, Share
from archspec.train.recipe.optimizer import OptimizerRecipe
from archspec.train.recipe.recompute import RecomputeRecipe
from archspec.train.recipe.schedule import ScheduleRecipe
from archspec.train.recipe.update_settings import (
    ClipRecipe,
    DynamicLossScale,
    EmaRecipe,
    FrozenParts,
    LossScale,
)
from archspec.writers.mindspore.initial_values import USUAL, Initialisation

GUESSES = 5
"""Of which one is right in top5."""


class Recipe(WrittenModel):
    """How a network is trained."""

    KIND: ClassVar[str] = "recipe"
    FOREIGN_KEYS: ClassVar[Mapping[str, str]] = FOREIGN_KEYS

    name: Annotated[str, Field(strict=True, max_length=64)] = "recipe"
    """The recipe's name."""
    source: Annotated[str, Field(strict=True, max_length=1_000)] = ""
    """Where the recipe is described: a paper, a file."""
    epochs: Annotated[int, Field(strict=True, ge=1, le=100_000)]
    """Times that all training images are seen."""
    batch_size: Batch
    """Images per device and step; `global_batch` where absent."""
    global_batch: Annotated[int, Field(strict=True, ge=1, le=2**24)] | None = None
    """Images per update on all devices that `learning_rate` is meant for; where absent, other
    devices and batches change neither rate nor `batch_size`."""
    scaling: Literal["keep_global_batch", "scale_rate"] = "keep_global_batch"
    """What another number of devices or another batch changes: `keep_global_batch` gives each
    device an equal share of `global_batch`, `scale_rate` multiplies the rate by devices x
    accumulate x batch_size / global_batch (arXiv 1706.02677)."""
    seed: Seed = 0
    """Of all that is drawn at random."""
    initialisation: Initialisation = USUAL
    """Of convolutions, variance 2 / fan (arXiv 1502.01852). Fan-out is MindCV's (`HeNormal(sqrt 5,
    "fan_out", "relu")`, where relu ignores the slope) and that of the paper's own code
    (liuzhuang13/DenseNet, densenet.lua); fan-in is torchvision's (`kaiming_normal_`). The
    classifier is the same in all three: He uniform (a = sqrt 5, fan-in), which is within 1 /
    sqrt(inputs), and bias 0; norms 1 and 0."""
    loss: LossRecipe = LossRecipe()
    label_smoothing: Share = 0.0
    """Short for `loss.label_smoothing`."""
    amp: Literal["O0", "O2", "O3"] = "O0"
    """O2: half precision but for norms, O3: for all, as `mindspore.amp` defines them."""
    amp_keep_float32: KeptKinds = ()
    """Kinds of operators that stay in full precision: `dense, group_norm`; with O2 beside batch and
    layer norms, MindSpore's own list, with O3 alone."""
    val_amp: Literal["same", "O0"] = "same"
    """Whether validation is in full precision where training is not."""
    loss_scale: LossScale = 1.0
    """What the loss is multiplied by, and gradients divided by, so that half precision keeps small
    ones; `dynamic`: as large as they allow."""
    dynamic_loss_scale: DynamicLossScale = DynamicLossScale()
    clip: ClipRecipe | None = None
    accumulate: Annotated[int, Field(strict=True, ge=1, le=65_536)] = 1
    """Batches to one update, with the mean of their gradients; those at an epoch's end that fill no
    update are left out."""
    sync_batch_norm: Annotated[bool, Field(strict=True)] = False
    """Whether batch norms of several devices take the statistics of all their images, rather than
    each those of its own, whose moving averages are averaged at an epoch's end."""
    recompute: RecomputeRecipe = RecomputeRecipe()
    ema: EmaRecipe | None = None
    freeze: FrozenParts = ()
    """Parts that keep what they begin with: `stem, blocks 1-2`. Norms in them judge by their moving
    statistics, and keep these too."""
    optimizer: OptimizerRecipe = OptimizerRecipe()
    schedule: ScheduleRecipe = ScheduleRecipe()
    data: DataRecipe = DataRecipe()
    overrides: dict[str, Any] = Field(default_factory=dict)
    """For the spec: key paths and values, as with `--set`."""
    log_every: Annotated[int, Field(strict=True, ge=1)] = 10
    """Steps between two lines of metrics."""
    ascend: AscendRecipe = AscendRecipe()
    tensorboard: Annotated[bool, Field(strict=True)] = False
    """Whether metrics are written as TensorBoard's event files too, into `tensorboard` in the run
    directory; takes `pip install 'densenet-archspec[tensorboard]'`."""
    compile_cache: Annotated[bool, Field(strict=True)] = True
    """Whether what MindSpore compiles is kept in the cache folder, so that a second start of the
    same network and recipe begins in a fraction of the time; the environment's
    `DENSENET_COMPILE_CACHE=0` says no for all."""
    validate_every: Annotated[int, Field(strict=True, ge=1, le=100_000)] = 1
    """Epochs from one validation to the next; the last epoch is always validated."""
    save_every: Interval | None = None
    """Steps, or a time such as `10m`, from one checkpoint to the next within an epoch; each epoch
    ends with one."""
    keep: KeepRecipe = KeepRecipe()
    keep_checkpoints: Annotated[int, Field(strict=True, ge=0, le=100_000)] | None = None
    """Short for `keep.last`."""
    early_stopping: EarlyStoppingRecipe | None = None
    time_budget: Duration | None = None
    """Time of training, such as `8h`, after which the run ends, validated as it then is."""
    on_nan: Literal["stop", "skip"] = "stop"
    """What becomes of a step whose loss or gradients are no numbers: the run stops and names the
    images, or the step changes nothing."""

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

    @property
    def smoothing(self) -> float:
        """Share of the target that is spread over all classes, wherever it is said."""
        if "label_smoothing" in self.loss.model_fields_set:
            return self.loss.label_smoothing
        return self.label_smoothing

    def check_classes(self, classes: int) -> None:
        """Raise SpecError (S006) where the loss has weights of another number of classes, or the
        best epoch is told by the first five guesses among no more classes.
        """
        if self.keep.by.endswith("top5") and classes <= GUESSES:
            message = f"by (={self.keep.by}) tells nothing of {classes} classes: it is always 1"
            raise SpecError.one("S006", message, self.place(("keep", "by")))
        weights = self.loss.class_weights
        if not isinstance(weights, tuple) or len(weights) == classes:
            return
        named = format_count(len(weights), "weight")
        message = f"class_weights are {named}, the network gives {classes} classes"
        raise SpecError.one("S006", message, self.place(("loss", "class_weights")))

    def check_targets(self, *, per_pixel: bool) -> None:
        """Raise SpecError (S006) for settings that do not fit images with masks (`per_pixel`), or
        those without.
        """
        found = find_unfit(self, per_pixel=per_pixel)
        faults = [Diagnostic("S006", rule, self.place(path)) for path, rule in found]
        if faults:
            raise SpecError(faults)

    @property
    def epochs_kept(self) -> int:
        """Of how many of the last epochs the checkpoint is kept."""
        return self.keep.last if self.keep_checkpoints is None else self.keep_checkpoints

    def resolved(self) -> dict[str, Any]:
        """Return plain values from which the equal recipe is read again.

        Settings that mean nothing beside the others are left out.
        """
        values = super().resolved()
        for path in find_meaningless(self):
            holder = values
            for key in path[:-1]:
                holder = holder.get(str(key), {})
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
    return load_model(Recipe, str(name), overrides, kind="recipe", beside=Spec)
