"""What a value of MindCV's is here, where it is another, or depends on other flags."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from archspec.operators.table import find_by_word
from archspec.train.recipe.kept_kinds import KINDS

Config = Mapping[str, Any]
"""Every flag's value: the file's, else MindCV's default."""
Convert = Callable[[Any, Config], Any]
"""Gives our value, of several keys a tuple of them, or SKIP. Raises NotTaken."""


class Skip(Enum):
    """The only value that is none."""

    SKIP = "skip"


SKIP = Skip.SKIP
"""There is nothing to say: our default means the same, or the flag means nothing beside others."""
_CELL = re.compile(r"nn\.([A-Za-z]+?)(?:[123]d)?(?![A-Za-z0-9])")
MOST_MILESTONES = 1_000
MINDSPORES_SCALE = 2**24
"""What a dynamic loss scale begins with, where MindSpore chooses."""
ONE_CYCLE_START = 1 / 25
"""What a one-cycle rate begins with, of its highest."""


class NotTaken(Exception):
    """What a flag says has no counterpart; `value` is the nearest, SKIP where there is none."""

    def __init__(self, reason: str, value: Any = SKIP) -> None:
        super().__init__(reason)
        self.value = value


def beside_another(_value: Any, _config: Config) -> Any:
    """Return SKIP: the row of another flag takes it into account."""
    return SKIP


def unless(*defaults: Any) -> Convert:
    """Return a converter that skips these values: our default means the same."""
    return lambda value, _: SKIP if value in defaults else value


def kind_of_optimizer(value: str, config: Config) -> Any:
    """Return its kind, and what nn.RMSProp has for alpha."""
    # nn.SGD and nn.Momentum move weights alike: v = momentum v + g, w = w - rate v.
    if optimizer(config) == "sgd":
        return SKIP
    # nn.RMSProp keeps 0.9 of the mean of squares where nothing is said, PyTorch's 0.99.
    return value.lower(), 0.9 if optimizer(config) == "rmsprop" else SKIP


def optimizer(config: Config) -> str:
    """Return the kind of optimizer: `sgd` is said in three ways."""
    kind = str(config["opt"]).lower()
    return "sgd" if kind in ("sgd", "momentum", "nesterov") else kind


def momentum(value: float, config: Config) -> Any:
    """Return it where the optimizer has one; MindCV hands it to no other."""
    return value if optimizer(config) in ("sgd", "rmsprop") else SKIP


def nesterov(value: bool, config: Config) -> Any:
    """Return true where the gradient is taken one step ahead."""
    if value and optimizer(config) == "adam":
        raise NotTaken("Adam has no such step here")
    return True if value and optimizer(config) == "sgd" else SKIP


def decay_filter(value: str, _: Config) -> Any:
    """Return false where norms and biases are spared."""
    if value == "auto":
        raise NotTaken("MindSpore's own filter decays biases; here they are spared too", False)
    return False if value == "norm_and_bias" else SKIP


def epsilon(value: float, config: Config) -> Any:
    """Return it for RMSProp, the only one that MindCV hands it to."""
    return value if optimizer(config) == "rmsprop" else SKIP


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


def schedule(config: Config) -> str:
    """Return the kind of schedule by our name, or by MindCV's where there is none."""
    kind = SCHEDULES.get(config["scheduler"], config["scheduler"])
    return "constant" if kind == "step" and not falls(config) else kind


def falls(config: Config) -> tuple[int, ...]:
    """Return the epochs at which a rate of steps falls, as far as the run reaches.

    MindCV counts them from the end of the warm-up, ours are counted from the start of the run.
    """
    warmup, epochs = config["warmup_epochs"], config["epoch_size"]
    if config["scheduler"] == "step_decay":
        every = config["decay_epochs"]
        return tuple(range(warmup + every, epochs, max(1, every))[:MOST_MILESTONES])
    milestones = sorted(config["multi_step_decay_milestones"])
    return tuple(warmup + epoch for epoch in milestones if warmup + epoch < epochs)


def kind_of_schedule(value: str, config: Config) -> Any:
    """Return the kind where it is not our default."""
    kind = schedule(config)
    return SKIP if kind == "cosine" else kind


def final_rate(value: float, config: Config) -> Any:
    """Return the lowest rate of those that fall to one."""
    return value if schedule(config) in ("cosine", "one_cycle", "cyclic") else SKIP


def warmup_epochs(value: int, config: Config) -> Any:
    """Return them, but of rates that rise by themselves, beside which MindCV takes none."""
    return SKIP if schedule(config) in ("one_cycle", "cyclic") else value


def warmup_factor(value: float, config: Config) -> Any:
    """Return what the warm-up begins with, also where that is 0: ours is one step ahead."""
    if schedule(config) == "one_cycle":
        return ONE_CYCLE_START
    rises_by_itself = schedule(config) == "cyclic"
    return value if config["warmup_epochs"] and not rises_by_itself else SKIP


def length_of_decay(value: int, config: Config) -> Any:
    """Return the epochs of a cosine that ends early, or the epochs at which steps fall."""
    epochs, warmup = config["epoch_size"], config["warmup_epochs"]
    if config["scheduler"] == "step_decay":
        return SKIP, falls(config) or SKIP
    is_whole = value * config["num_cycles"] + warmup == epochs
    return SKIP if schedule(config) != "cosine" or is_whole else (value, SKIP)


def factor(value: float, config: Config) -> Any:
    """Return the factor of steps, or the power of a polynomial."""
    if schedule(config) in ("step", "exponential"):
        return value, SKIP
    return (SKIP, value) if schedule(config) == "polynomial" else SKIP


def milestones(_value: Any, config: Config) -> Any:
    """Return the epochs of the run at which the rate falls."""
    if config["scheduler"] != "multi_step_decay":
        return SKIP
    return falls(config) or SKIP


def per(value: bool, config: Config) -> Any:
    """Return `epoch` where a rate changes from step to step otherwise."""
    is_stepped = schedule(config) in ("step", "constant") and not config["warmup_epochs"]
    return "epoch" if value and not is_stepped else SKIP


def cycles(value: int, config: Config) -> Any:
    """Return them where the schedule has more than one."""
    return value if schedule(config) in ("cosine", "cyclic") and value > 1 else SKIP


def cycle_decay(value: float, config: Config) -> Any:
    """Return it where there are cycles whose height falls."""
    has_cycles = schedule(config) == "cosine" and config["num_cycles"] > 1
    return value if has_cycles and value != 1 else SKIP


def loss(value: str, _: Config) -> Any:
    """Return the kind of loss where it is not our default."""
    kind = value.lower()
    return SKIP if kind == "ce" else kind


def kept_in_full(value: str | list[str], config: Config) -> Any:
    """Return the kinds of operators of the cells in a black list, `[nn.Dense, nn.GroupNorm]` as a
    text or as YAML's list; MindCV takes it for one beside O2 alone.
    """
    if config["amp_level"] in ("O0", "O3") or value == "None":
        return SKIP
    if config["amp_level"] == "O1":
        raise NotTaken("it is a list of what is lowered, and recipes have what is kept")
    names = _CELL.findall(value if isinstance(value, str) else " ".join(value))
    rows = {name: find_by_word(name) for name in names}
    foreign = [name for name, row in rows.items() if row is None or row.kind not in KINDS]
    kinds = [row.kind for row in rows.values() if row is not None and row.kind in KINDS]
    kept = tuple(dict.fromkeys(kinds)) or SKIP
    if not names:
        raise NotTaken("it names no cell; one is written [nn.Dense, nn.GroupNorm]", kept)
    if foreign:
        raise NotTaken(f"{', '.join(foreign)} is no cell that is known", kept)
    if "batch_norm" not in kinds:
        raise NotTaken("here batch norms are kept beside it", kept)
    return kept


def validation_in(value: str, config: Config) -> Any:
    """Return the level of precision of validation where it is not that of training."""
    return SKIP if value == config["amp_level"] else value


def loss_scale(value: float, config: Config) -> Any:
    """Return the scale, and what a dynamic one begins with."""
    amp, kind = config["amp_level"], config["loss_scale_type"].lower()
    if amp == "O0" or (kind == "auto" and amp != "O2"):
        return SKIP  # of single precision; MindSpore itself scales in O2 alone
    if kind == "fixed":
        return SKIP if value == 1 else (value, SKIP)
    return "dynamic", value if kind == "dynamic" else MINDSPORES_SCALE


def drops_overflow(value: bool, config: Config) -> Any:
    """Return SKIP. Raises NotTaken where steps of a fixed scale would be left out."""
    if value and config["loss_scale_type"].lower() == "fixed" and config["amp_level"] != "O0":
        raise NotTaken("with a fixed loss scale each step moves the weights")
    return SKIP


def beside(other: str, take: str) -> Convert:
    """Return a converter that gives the flag `take`, where `other` is on."""
    return lambda _, config: config[take] if config[other] else SKIP


def mix_probability(value: float, config: Config) -> Any:
    """Return it where batches are mixed."""
    is_mixed = config["mixup"] or config["cutmix"]
    return value if is_mixed and value != 1 else SKIP


def erasing(value: float, config: Config) -> Any:
    """Return the probability, a number alone where the rest is as usual in MindCV and here."""
    if not value:
        return SKIP
    settings = {}
    for key, (flag, usual) in ERASING.items():
        said = config[flag]
        if said not in (usual, [*usual] if isinstance(usual, tuple) else usual):
            settings[key] = said
    return {"probability": value, **settings} if settings else value


ERASING: Mapping[str, tuple[str, Any]] = {
    "scale": ("re_scale", (0.02, 0.33)),
    "ratio": ("re_ratio", (0.3, 3.3)),
    "value": ("re_value", 0),
    "attempts": ("re_max_attempts", 10),
}
"""Settings of an erased rectangle: MindCV's flag and its default."""


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


def auto_augment(value: str, _: Config) -> Any:
    """Return a policy's kind, or a mapping of its settings."""
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
    if name == "randaug" and not any(word.startswith("inc") for word in words):
        raise NotTaken("taken as with inc1: all operations grow stronger by the magnitude", taken)
    if left:
        raise NotTaken(f"taken without {', '.join(left)}", taken)
    return taken


def color_jitter(value: Any, config: Config) -> Any:
    """Return one factor for brightness, contrast and saturation."""
    if config["auto_augment"]:  # MindCV jitters colours only where no policy changes them
        return SKIP
    factors = [*value] if isinstance(value, (list, tuple)) else [value]
    if len({*map(str, factors)}) > 1 or not factors:
        raise NotTaken("brightness, contrast and saturation have one factor, and hue none")
    return unless(0)(factors[0], config)


def ratio(value: list[Any], _: Config) -> Any:
    """Return it unless it is 3 / 4 to 4 / 3, which MindCV rounds."""
    is_usual = [f"{float(bound):.2f}" for bound in value] == ["0.75", "1.33"]
    return SKIP if is_usual else tuple(value)


def per_channel(value: list[Any], _: Config) -> Any:
    """Return the value of each channel, rounded as people write it."""
    return [round(float(channel), 6) for channel in value]


def global_batch(_: Any, config: Config) -> Any:
    """Return the batch of an update on all devices, by which the rate is scaled on others."""
    batches = config["devices"] * config["gradient_accumulation_steps"]
    return config["batch_size"] * batches, "scale_rate"


def kept(value: int, config: Config) -> Any:
    """Return how many of the last, or of the best, checkpoints are kept."""
    policies = {"latest_k": (value, SKIP), "top_k": (SKIP, value)}
    return policies.get(str(config["ckpt_save_policy"]), SKIP)


def size(value: Any, _: Config) -> Any:
    """Return height and width, unless they are the usual 224."""
    if isinstance(value, (list, tuple)) and len(value) != 2:
        raise NotTaken("an image has height and width")
    height, width = value if isinstance(value, (list, tuple)) else (value, value)
    return SKIP if (height, width) == (224, 224) else (height, width)
