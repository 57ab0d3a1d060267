"""MindCV's flags: what each is by default, and which key of a recipe says it.

Names, defaults and meanings are those of its config.py and train.py at commit 51b0636. One row for
each flag; `from_mindcv.py` reads a file by them, docs/from-mindcv.md lists them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from archspec.settings import Path
from archspec.spec.reading.misplaced_keys import walk_keys
from archspec.train.recipe.model import Recipe

Config = Mapping[str, Any]
"""Every flag's value: the file's, else MindCV's default."""
SKIP = object()
"""There is nothing to say: our default means the same, or the flag means nothing beside others."""


class NotTaken(Exception):
    """What a flag says has no counterpart; `value` is the nearest, SKIP where there is none."""

    def __init__(self, reason: str, value: Any = SKIP) -> None:
        super().__init__(reason)
        self.value = value


Convert = Callable[[Any, Config], Any]


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
    only_said: bool = False
    """Whether MindCV's default is no part of how it trains: a seed."""


MOST_MILESTONES = 1_000
MINDSPORES_SCALE = 2**24
"""What a dynamic loss scale begins with, where MindSpore chooses."""
ONE_CYCLE_START = 1 / 25
"""What a one-cycle rate begins with, of its highest."""
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


# ---- what depends on other flags


def _beside_another(_value: Any, _config: Config) -> Any:
    """The row of another flag takes it into account."""
    return SKIP


def _unless(*defaults: Any) -> Convert:
    """Say it only where it differs: by these values our default means the same."""
    return lambda value, _: SKIP if value in defaults else value


def _kind_of_optimizer(value: str, config: Config) -> Any:
    # nn.SGD and nn.Momentum move weights alike: v = momentum v + g, w = w - rate v.
    if _optimizer(config) == "sgd":
        return SKIP
    # nn.RMSProp keeps 0.9 of the mean of squares where nothing is said, PyTorch's 0.99.
    return value.lower(), 0.9 if _optimizer(config) == "rmsprop" else SKIP


def _optimizer(config: Config) -> str:
    kind = str(config["opt"]).lower()
    return "sgd" if kind in ("sgd", "momentum", "nesterov") else kind


def _momentum(value: float, config: Config) -> Any:
    return value if _optimizer(config) in ("sgd", "rmsprop") else SKIP


def _nesterov(value: bool, config: Config) -> Any:
    if value and _optimizer(config) == "adam":
        raise NotTaken("Adam has no such step here")
    return True if value and _optimizer(config) == "sgd" else SKIP


def _decay_filter(value: str, _: Config) -> Any:
    if value == "auto":
        raise NotTaken("MindSpore's own filter decays biases; here they are spared too", False)
    return False if value == "norm_and_bias" else SKIP


def _epsilon(value: float, config: Config) -> Any:
    return value if _optimizer(config) == "rmsprop" else SKIP


SCHEDULES: Mapping[str, str] = {
    "constant": "constant",
    "cosine_decay": "cosine",
    "warmup_cosine_decay": "cosine",
    "step_decay": "step",
    "multi_step_decay": "step",
    "exponential_decay": "exponential",
    "polynomial_decay": "polynomial",
    "one_cycle": "one_cycle",
    "cyclic": "cyclic",
}


def _schedule(config: Config) -> str:
    return SCHEDULES.get(config["scheduler"], config["scheduler"])


def _kind_of_schedule(value: str, config: Config) -> Any:
    kind = _schedule(config)
    return SKIP if kind == "cosine" else kind


def _final_rate(value: float, config: Config) -> Any:
    return value if _schedule(config) in ("cosine", "one_cycle", "cyclic") else SKIP


def _warmup_epochs(value: int, config: Config) -> Any:
    # A one-cycle rate rises by itself, and MindCV takes no other warm-up beside it.
    return SKIP if _schedule(config) == "one_cycle" else value


def _warmup_factor(value: float, config: Config) -> Any:
    if _schedule(config) == "one_cycle":
        return ONE_CYCLE_START
    return value if config["warmup_epochs"] else SKIP


def _length_of_decay(value: int, config: Config) -> Any:
    epochs, warmup = config["epoch_size"], config["warmup_epochs"]
    if config["scheduler"] == "step_decay":
        # Counted from the end of the warm-up; ours from the start of the run.
        steps = range(warmup + value, epochs, max(1, value))[:MOST_MILESTONES]
        return (SKIP, tuple(steps)) if steps else SKIP
    is_whole = value * config["num_cycles"] + warmup == epochs
    return SKIP if _schedule(config) != "cosine" or is_whole else (value, SKIP)


def _factor(value: float, config: Config) -> Any:
    kind = _schedule(config)
    is_power = kind == "polynomial"
    if kind in ("step", "exponential"):
        return (value, SKIP)
    return (SKIP, value) if is_power else SKIP


def _milestones(value: list[Any], config: Config) -> Any:
    if config["scheduler"] != "multi_step_decay":
        return SKIP
    return tuple(config["warmup_epochs"] + epoch for epoch in sorted(value))


def _per(value: bool, config: Config) -> Any:
    is_stepped = _schedule(config) in ("step", "constant") and not config["warmup_epochs"]
    return "epoch" if value and not is_stepped else SKIP


def _cycles(value: int, config: Config) -> Any:
    return value if _schedule(config) in ("cosine", "cyclic") and value > 1 else SKIP


def _cycle_decay(value: float, config: Config) -> Any:
    has_cycles = _schedule(config) == "cosine" and config["num_cycles"] > 1
    return value if has_cycles and value != 1 else SKIP


def _loss(value: str, _: Config) -> Any:
    kind = value.lower()
    return SKIP if kind == "ce" else kind


def _validation_in(value: str, config: Config) -> Any:
    return SKIP if value == config["amp_level"] else value


def _loss_scale(value: float, config: Config) -> Any:
    amp, kind = config["amp_level"], config["loss_scale_type"].lower()
    if amp == "O0" or (kind == "auto" and amp != "O2"):
        return SKIP  # of single precision; MindSpore itself scales in O2 alone
    if kind == "fixed":
        return SKIP if value == 1 else (value, SKIP)
    return "dynamic", value if kind == "dynamic" else MINDSPORES_SCALE


def _drops_overflow(value: bool, config: Config) -> Any:
    if value and config["loss_scale_type"].lower() == "fixed" and config["amp_level"] != "O0":
        raise NotTaken("with a fixed loss scale each step moves the weights")
    return SKIP


def _beside(other: str, take: str) -> Convert:
    """The value of the flag `take`, where `other` is on."""
    return lambda _, config: config[take] if config[other] else SKIP


def _mix_probability(value: float, config: Config) -> Any:
    is_mixed = config["mixup"] or config["cutmix"]
    return value if is_mixed and value != 1 else SKIP


def _erasing(value: float, config: Config) -> Any:
    """A number alone where the rest is as usual, in MindCV and here."""
    if not value:
        return SKIP
    settings = {}
    for key, flag in ERASING.items():
        said = config[flag]
        if said not in (FLAGS[flag].default, _plain(FLAGS[flag].default)):
            settings[key] = said
    return {"probability": value, **settings} if settings else value


def _plain(value: Any) -> Any:
    return [*value] if isinstance(value, tuple) else value


ERASING = {
    "scale": "re_scale",
    "ratio": "re_ratio",
    "value": "re_value",
    "attempts": "re_max_attempts",
}


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy of `auto_augment`: its kind here, what MindCV's has by default, and the settings
    that a letter in `randaug-m9-n2` says.
    """

    kind: str
    usual: Mapping[str, Any]
    letters: Mapping[str, str]


# `mstd` is set to 0.5 whatever a file says: hparams.setdefault keeps the first.
POLICIES: Mapping[str, Policy] = {
    "randaug": Policy(
        "randaugment",
        {"magnitude": 10, "magnitude_std": 0.5, "probability": 0.5},
        {"m": "magnitude", "n": "operations"},
    ),
    "autoaug": Policy("autoaugment", {"magnitude_std": 0.5}, {}),
    "trivialaugwide": Policy("trivialaugment", {}, {}),
    "augmix": Policy("augmix", {}, {"m": "magnitude", "w": "width", "d": "depth", "a": "alpha"}),
}
_SETTING = re.compile(r"([a-z]+)(\d{1,6}(?:\.\d{1,6})?)")


def _auto_augment(value: str, _: Config) -> Any:
    name, *words = value.split("-")
    if name not in POLICIES:
        raise NotTaken("is a policy that is not known here")
    policy, left = POLICIES[name], []
    settings = {"kind": policy.kind, **policy.usual}
    for word in words:
        found = _SETTING.fullmatch(word)
        key = policy.letters.get(found[1], "") if found else ""
        if found and key:
            settings[key] = float(found[2]) if "." in found[2] else int(found[2])
        elif word not in ("inc1", "mstd0.5"):  # strengths grow so here; so MindCV varies them
            left.append(word)
    taken = settings if len(settings) > 1 else policy.kind
    if left:
        raise NotTaken(f"taken without {', '.join(left)}", taken)
    return taken


def _color_jitter(value: Any, config: Config) -> Any:
    if config["auto_augment"]:  # MindCV jitters colours only where no policy changes them
        return SKIP
    factors = [*value] if isinstance(value, LIST) else [value]
    if len({*map(str, factors)}) > 1 or not factors:
        raise NotTaken("brightness, contrast and saturation have one factor, and hue none")
    return _unless(0)(factors[0], config)


def _ratio(value: list[Any], _: Config) -> Any:
    is_usual = [f"{float(bound):.2f}" for bound in value] == ["0.75", "1.33"]
    return SKIP if is_usual else tuple(value)


def _per_channel(value: list[Any], _: Config) -> Any:
    return [round(float(channel), 6) for channel in value]


def _global_batch(_: Any, config: Config) -> Any:
    return config["batch_size"] * config["devices"], "scale_rate"


def _kept(value: int, config: Config) -> Any:
    policies = {"latest_k": (value, SKIP), "top_k": (SKIP, value)}
    return policies.get(str(config["ckpt_save_policy"]), SKIP)


def _size(value: Any, _: Config) -> Any:
    if isinstance(value, LIST) and len(value) != 2:
        raise NotTaken("an image has height and width")
    height, width = value if isinstance(value, LIST) else (value, value)
    return SKIP if (height, width) == (224, 224) else (height, width)


FLAGS: Mapping[str, Flag] = {
    "config": Flag("", option="`--recipe FILE`, and the spec as first argument"),
    "mode": Flag(0, reason="training always runs in graph mode", idle=(0,)),
    "distribute": Flag(False, ("global_batch", "scaling"), _global_batch, option="`--devices N`"),
    "val_while_train": Flag(False, reason="validated always", idle=(True,)),
    "val_interval": Flag(1, ("validate_every",), _unless(1)),
    "log_interval": Flag(100, ("log_every",), option="`--log-every`", only_said=True),
    "seed": Flag(42, ("seed",), option="`--seed`", only_said=True),
    "device_target": Flag("Ascend", option="`--device-target CPU` or `Ascend`", idle=("Ascend",)),
    "dataset": Flag("imagenet", option="`--data-dir`, which notices the kind", idle=("imagenet",)),
    "data_dir": Flag("./", option="`--data-dir`"),
    "train_split": Flag("train", reason="the folder is called `train`", idle=("train",)),
    "val_split": Flag("val", reason="the folder is called `val` or `test`", idle=("val", "test")),
    "dataset_download": Flag(False, reason="no data are downloaded", idle=(False,)),
    "num_parallel_workers": Flag(8, ("data.workers",), option="`--workers`"),
    "shuffle": Flag(True, ("data.shuffle",), _unless(True)),
    "num_samples": Flag(None, ("data.samples",), kinds=(int,)),
    "batch_size": Flag(128, ("batch_size",), option="`--batch-size`"),
    "drop_remainder": Flag(
        True, reason="training always drops the rest, validation never", idle=(True,)
    ),
    "image_resize": Flag(
        224,
        ("overrides.input.height", "overrides.input.width"),
        _size,
        option="`--image-size`",
        kinds=(int, *LIST),
    ),
    "scale": Flag((0.08, 1.0), ("data.scale",), lambda v, _: _unless((0.08, 1.0))(tuple(v), _)),
    "ratio": Flag((0.75, 1.333), ("data.ratio",), _ratio),
    "hflip": Flag(0.5, ("data.hflip",), _unless(0.5)),
    "vflip": Flag(0.0, ("data.vflip",), _unless(0)),
    "color_jitter": Flag(
        0.4, ("data.color_jitter",), _color_jitter, kinds=(*NUMBER, *LIST, Nothing)
    ),
    "interpolation": Flag("bilinear", ("data.interpolation",), _unless("bilinear")),
    "auto_augment": Flag(None, ("data.auto_augment",), _auto_augment, kinds=TEXT),
    "aug_splits": Flag(0, reason="an image is learnt from in one form at a time", idle=(0,)),
    "re_prob": Flag(0.0, ("data.random_erasing",), _erasing),
    "re_scale": Flag((0.02, 0.33), ("data.random_erasing.scale",), _beside_another),
    "re_ratio": Flag((0.3, 3.3), ("data.random_erasing.ratio",), _beside_another),
    "re_value": Flag(
        0, ("data.random_erasing.value",), _beside_another, kinds=(*NUMBER, *TEXT, *LIST)
    ),
    "re_max_attempts": Flag(10, ("data.random_erasing.attempts",), _beside_another),
    "mean": Flag((123.675, 116.28, 103.53), ("data.mean",), _per_channel),
    "std": Flag((58.395, 57.12, 57.375), ("data.std",), _per_channel),
    "crop_pct": Flag(0.875, ("data.crop_pct",)),
    "mixup": Flag(0.0, ("data.mixup",), _unless(0)),
    "cutmix": Flag(0.0, ("data.cutmix",), _unless(0)),
    "cutmix_prob": Flag(1.0, ("data.mix_probability",), _mix_probability),
    "aug_repeats": Flag(0, ("data.repeats",), _unless(0, 1)),
    "model": Flag("mobilenet_v2_035_224", option="the spec, as first argument", idle=("",)),
    "num_classes": Flag(None, option="`--num-classes`, else the data's", kinds=(int,)),
    "in_channels": Flag(3, ("overrides.input.channels",), _unless(3)),
    "drop_rate": Flag(None, ("overrides.drop_rate",), _unless(0), kinds=NUMBER),
    "drop_path_rate": Flag(
        None,
        option="a step of the spec's layer, `drop_path: {rate: 0.1}`",
        idle=(0,),
        kinds=NUMBER,
    ),
    "pretrained": Flag(False, option="`--pretrained`", idle=(False,)),
    "ckpt_path": Flag("", option="`--init-from` or `--resume`", idle=("",)),
    "resume_opt": Flag(False, option="`--resume`, which takes up everything", idle=(False,)),
    "keep_checkpoint_max": Flag(10, ("keep_checkpoints|keep.last", "keep.best"), _kept),
    "ckpt_save_dir": Flag("./ckpt", option="`--out`"),
    "ckpt_save_interval": Flag(
        1, option="`--save-every`", reason="an epoch is always saved at its end", idle=(1,)
    ),
    "ckpt_save_policy": Flag(
        "latest_k",
        ("keep_checkpoints|keep.last", "keep.best"),
        _beside_another,
        kinds=(*TEXT, Nothing),
    ),
    "epoch_size": Flag(90, ("epochs",), option="`--epochs`"),
    "dataset_sink_mode": Flag(
        True, reason="each batch is fed by itself, so that a step can be saved", idle=(False,)
    ),
    "ema": Flag(False, ("ema.decay",), _beside("ema", "ema_decay"), option="`--ema`"),
    "ema_decay": Flag(0.9999, ("ema.decay",), _beside_another, option="`--ema DECAY`"),
    "clip_grad": Flag(False, ("clip.norm",), _beside("clip_grad", "clip_value")),
    "clip_value": Flag(15.0, ("clip.norm",), _beside_another),
    "layer_decay": Flag(None, ("optimizer.layer_decay",), kinds=NUMBER),
    "gradient_accumulation_steps": Flag(1, ("accumulate",), _unless(1)),
    "opt": Flag(
        "adam", ("optimizer.kind", "optimizer.alpha"), _kind_of_optimizer, option="`--opt`"
    ),
    "momentum": Flag(0.9, ("optimizer.momentum",), _momentum),
    "weight_decay": Flag(1e-6, ("optimizer.weight_decay",)),
    "use_nesterov": Flag(False, ("optimizer.nesterov",), _nesterov),
    "weight_decay_filter": Flag("disable", ("optimizer.decay_norm_and_bias",), _decay_filter),
    "eps": Flag(1e-10, ("optimizer.eps",), _epsilon),
    "scheduler": Flag("cosine_decay", ("schedule.kind",), _kind_of_schedule),
    "lr": Flag(0.001, ("schedule.learning_rate",), option="`--lr`"),
    "min_lr": Flag(1e-6, ("schedule.final",), _final_rate),
    "warmup_epochs": Flag(3, ("schedule.warmup_epochs",), _warmup_epochs),
    "warmup_factor": Flag(0.0, ("schedule.warmup_factor",), _warmup_factor),
    "decay_epochs": Flag(100, ("schedule.decay_epochs", "schedule.milestones"), _length_of_decay),
    "decay_rate": Flag(0.9, ("schedule.factor", "schedule.power"), _factor),
    "multi_step_decay_milestones": Flag((30, 60, 90), ("schedule.milestones",), _milestones),
    "lr_epoch_stair": Flag(False, ("schedule.per",), _per),
    "num_cycles": Flag(1, ("schedule.cycles",), _cycles),
    "cycle_decay": Flag(1.0, ("schedule.cycle_decay",), _cycle_decay),
    "loss": Flag("CE", ("loss.kind",), _loss),
    "label_smoothing": Flag(0.0, ("label_smoothing|loss.label_smoothing",), _unless(0)),
    "aux_factor": Flag(0.0, reason="until there are several heads", idle=(0,)),
    "reduction": Flag("mean", reason="always the mean over images", idle=("mean",)),
    "amp_level": Flag("O0", ("amp",), _unless("O0"), option="`--amp`"),
    "val_amp_level": Flag(
        "O0", ("val_amp",), _validation_in, reason="of validate.py", only_said=True
    ),
    "amp_cast_list": Flag(None, reason="the levels are MindSpore's own", kinds=TEXT),
    "loss_scale_type": Flag("fixed", ("loss_scale",), _beside_another),
    "loss_scale": Flag(1.0, ("loss_scale", "dynamic_loss_scale.initial"), _loss_scale),
    "drop_overflow_update": Flag(
        False, ("loss_scale",), _drops_overflow, reason="`dynamic` always drops such a step"
    ),
    "eval_shuffle": Flag(False, reason="it changes no figure", idle=(False,)),
}
