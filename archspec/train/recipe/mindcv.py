"""MindCV's flags: what each is by default, and which key of a recipe says it.

Names, defaults and meanings are those of its config.py and train.py at commit 51b0636. One row for
each flag; `from_mindcv.py` reads a file by them, docs/from-mindcv.md lists them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archspec.settings import Path
from archspec.spec.reading.misplaced_keys import walk_keys
from archspec.train.recipe import mindcv_values as to
from archspec.train.recipe.mindcv_values import Convert
from archspec.train.recipe.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag: our keys, or a flag of ours, or the reason why there is neither."""

    default: Any
    keys: tuple[str, ...] = ()
    """Paths in a recipe; `a|b` is the first of them that there is."""
    convert: Convert = lambda value, _: value
    """Gives our value, of several keys a tuple of them, or SKIP. Raises NotTaken."""
    option: str = ""
    """What stands for it on our command line."""
    reason: str = ""
    """Why nothing stands for it, or what differs."""
    idle: tuple[Any, ...] = ()
    """Values by which nothing is lost."""
    kinds: tuple[type, ...] = ()
    """Of values, where the default does not tell."""
    items: tuple[type, ...] = (int, float)
    """Of what is in a list."""
    only_said: bool = False
    """Whether MindCV's default is no part of how it trains: a seed."""


NUMBER, TEXT, LIST, Nothing = (int, float), (str,), (list, tuple), type(None)


def find_recipe_key(flag: str) -> Path:
    """Return the path of the key that stands for a flag of MindCV's, () where there is none."""
    keys = FLAGS[flag].keys if flag in FLAGS else ()
    found = [find_known_key(key) for key in keys]
    return tuple(found[0].split(".")) if found and found[0] else ()


def find_known_key(keys: str) -> str:
    """Return the first of `a|b` that recipes have, '' for none; any key may stand in overrides."""
    known = {".".join(path) for path in walk_keys(Recipe)}
    for key in keys.split("|"):
        if key in known or key.startswith("overrides."):
            return key
    return ""


def say_instead(flag: Flag) -> str:
    """Return what stands for a flag that is no key, or why nothing does."""
    if not flag.option:
        return flag.reason.replace("`", "")
    return f"here it is {flag.option.replace('`', '')}"


FLAGS: Mapping[str, Flag] = {
    "config": Flag("", option="`--recipe FILE`, and the spec as first argument"),
    "mode": Flag(0, reason="training always runs in graph mode", idle=(0,)),
    "distribute": Flag(
        False,
        ("global_batch", "scaling"),
        to.global_batch,
        option="`--devices N`, or `mpirun -n N densenet train`",
    ),
    "val_while_train": Flag(False, reason="validated always", idle=(True,)),
    "val_interval": Flag(1, ("validate_every",), to.unless(1)),
    "log_interval": Flag(100, ("log_every",), option="`--log-every`", only_said=True),
    "seed": Flag(42, ("seed",), option="`--seed`", only_said=True),
    "device_target": Flag("Ascend", option="`--device-target CPU` or `Ascend`", idle=("Ascend",)),
    "dataset": Flag("imagenet", option="`--data-dir`, which notices the kind", idle=("imagenet",)),
    "data_dir": Flag("./", option="`--data-dir`"),
    "train_split": Flag("train", reason="the folder is called `train`", idle=("train",)),
    "val_split": Flag("val", reason="the folder is called `val` or `test`", idle=("val", "test")),
    "dataset_download": Flag(False, reason="no data are downloaded", idle=(False,)),
    "num_parallel_workers": Flag(8, ("data.workers",), option="`--workers`"),
    "shuffle": Flag(True, ("data.shuffle",), to.unless(True)),
    "num_samples": Flag(None, ("data.samples",), kinds=(int,)),
    "batch_size": Flag(128, ("batch_size",), option="`--batch-size`"),
    "drop_remainder": Flag(
        True, reason="training always drops the rest, validation never", idle=(True,)
    ),
    "image_resize": Flag(
        224,
        ("overrides.input.height", "overrides.input.width"),
        to.size,
        option="`--image-size`",
        kinds=(int, *LIST),
    ),
    "scale": Flag((0.08, 1.0), ("data.scale",), lambda v, _: to.unless((0.08, 1.0))(tuple(v), _)),
    "ratio": Flag((0.75, 1.333), ("data.ratio",), to.ratio),
    "hflip": Flag(0.5, ("data.hflip",), to.unless(0.5)),
    "vflip": Flag(0.0, ("data.vflip",), to.unless(0)),
    "color_jitter": Flag(
        0.4, ("data.color_jitter",), to.color_jitter, kinds=(*NUMBER, *LIST, Nothing)
    ),
    "interpolation": Flag("bilinear", ("data.interpolation",), to.unless("bilinear")),
    "auto_augment": Flag(None, ("data.auto_augment",), to.auto_augment, kinds=TEXT),
    "aug_splits": Flag(0, reason="an image is learnt from in one form at a time", idle=(0,)),
    "re_prob": Flag(0.0, ("data.random_erasing",), to.erasing),
    "re_scale": Flag((0.02, 0.33), ("data.random_erasing.scale",), to.beside_another),
    "re_ratio": Flag((0.3, 3.3), ("data.random_erasing.ratio",), to.beside_another),
    "re_value": Flag(
        0, ("data.random_erasing.value",), to.beside_another, kinds=(*NUMBER, *TEXT, *LIST)
    ),
    "re_max_attempts": Flag(10, ("data.random_erasing.attempts",), to.beside_another),
    "mean": Flag((123.675, 116.28, 103.53), ("data.mean",), to.per_channel),
    "std": Flag((58.395, 57.12, 57.375), ("data.std",), to.per_channel),
    "crop_pct": Flag(0.875, ("data.crop_pct",)),
    "mixup": Flag(0.0, ("data.mixup",), to.unless(0)),
    "cutmix": Flag(0.0, ("data.cutmix",), to.unless(0)),
    "cutmix_prob": Flag(1.0, ("data.mix_probability",), to.mix_probability),
    "aug_repeats": Flag(0, ("data.repeats",), to.unless(0, 1)),
    "model": Flag("mobilenet_v2_035_224", option="the spec, as first argument", idle=("",)),
    "num_classes": Flag(None, option="`--num-classes`, else the data's", kinds=(int,)),
    "in_channels": Flag(3, ("overrides.input.channels",), to.unless(3)),
    "drop_rate": Flag(None, ("overrides.drop_rate",), to.unless(0), kinds=NUMBER),
    "drop_path_rate": Flag(
        None,
        option="a step of the spec's layer, `drop_path: {rate: 0.1}`",
        idle=(0,),
        kinds=NUMBER,
    ),
    "pretrained": Flag(False, option="`--pretrained`", idle=(False,)),
    "ckpt_path": Flag("", option="`--init-from` or `--resume`", idle=("",)),
    "resume_opt": Flag(False, option="`--resume`, which takes up everything", idle=(False,)),
    "keep_checkpoint_max": Flag(10, ("keep_checkpoints|keep.last", "keep.best"), to.kept),
    "ckpt_save_dir": Flag("./ckpt", option="`--out`"),
    "ckpt_save_interval": Flag(
        1, option="`--save-every`", reason="an epoch is always saved at its end", idle=(1,)
    ),
    "ckpt_save_policy": Flag(
        "latest_k",
        ("keep_checkpoints|keep.last", "keep.best"),
        to.beside_another,
        kinds=(*TEXT, Nothing),
    ),
    "epoch_size": Flag(90, ("epochs",), option="`--epochs`"),
    "dataset_sink_mode": Flag(
        True, reason="each batch is fed by itself, docs/ascend.md says why", idle=(False,)
    ),
    "ema": Flag(False, ("ema.decay",), to.beside("ema", "ema_decay"), option="`--ema`"),
    "ema_decay": Flag(0.9999, ("ema.decay",), to.beside_another, option="`--ema DECAY`"),
    "clip_grad": Flag(False, ("clip.norm",), to.beside("clip_grad", "clip_value")),
    "clip_value": Flag(15.0, ("clip.norm",), to.beside_another),
    "layer_decay": Flag(None, ("optimizer.layer_decay",), kinds=NUMBER),
    "gradient_accumulation_steps": Flag(1, ("accumulate",), to.unless(1)),
    "opt": Flag(
        "adam", ("optimizer.kind", "optimizer.alpha"), to.kind_of_optimizer, option="`--opt`"
    ),
    "momentum": Flag(0.9, ("optimizer.momentum",), to.momentum),
    "weight_decay": Flag(1e-6, ("optimizer.weight_decay",)),
    "use_nesterov": Flag(False, ("optimizer.nesterov",), to.nesterov),
    "weight_decay_filter": Flag("disable", ("optimizer.decay_norm_and_bias",), to.decay_filter),
    "eps": Flag(1e-10, ("optimizer.eps",), to.epsilon),
    "scheduler": Flag("cosine_decay", ("schedule.kind",), to.kind_of_schedule),
    "lr": Flag(0.001, ("schedule.learning_rate",), option="`--lr`"),
    "min_lr": Flag(1e-6, ("schedule.final",), to.final_rate),
    "warmup_epochs": Flag(3, ("schedule.warmup_epochs",), to.warmup_epochs),
    "warmup_factor": Flag(0.0, ("schedule.warmup_factor",), to.warmup_factor),
    "decay_epochs": Flag(100, ("schedule.decay_epochs", "schedule.milestones"), to.length_of_decay),
    "decay_rate": Flag(0.9, ("schedule.factor", "schedule.power"), to.factor),
    "multi_step_decay_milestones": Flag((30, 60, 90), ("schedule.milestones",), to.milestones),
    "lr_epoch_stair": Flag(False, ("schedule.per",), to.per),
    "num_cycles": Flag(1, ("schedule.cycles",), to.cycles),
    "cycle_decay": Flag(1.0, ("schedule.cycle_decay",), to.cycle_decay),
    "loss": Flag("CE", ("loss.kind",), to.loss),
    "label_smoothing": Flag(0.0, ("label_smoothing|loss.label_smoothing",), to.unless(0)),
    "aux_factor": Flag(0.0, reason="a network has one head", idle=(0,)),
    "reduction": Flag("mean", reason="always the mean over images", idle=("mean",)),
    "amp_level": Flag("O0", ("amp",), to.unless("O0"), option="`--amp`"),
    "val_amp_level": Flag(
        "O0", ("val_amp",), to.validation_in, reason="of validate.py", only_said=True
    ),
    "amp_cast_list": Flag(
        None, ("amp_keep_float32",), to.kept_in_full, kinds=(*TEXT, *LIST), items=TEXT
    ),
    "loss_scale_type": Flag("fixed", ("loss_scale",), to.beside_another),
    "loss_scale": Flag(1.0, ("loss_scale", "dynamic_loss_scale.initial"), to.loss_scale),
    "drop_overflow_update": Flag(
        False, ("loss_scale",), to.drops_overflow, reason="`dynamic` always drops such a step"
    ),
    "eval_shuffle": Flag(False, reason="it changes no figure", idle=(False,)),
}
