"""What MindCV's values mean, beside the flags that they depend on; by its own code at 51b0636."""

import pytest

from archspec.train.recipe.mindcv import FLAGS
from archspec.train.recipe.mindcv_values import MINDSPORES_SCALE, SKIP, NotTaken

DEFAULTS = {name: flag.default for name, flag in FLAGS.items()}
RANDAUG = {"kind": "randaugment", "magnitude_std": 0.5, "probability": 0.5}


def converted(flag, **said):
    config = {**DEFAULTS, **said, "devices": 8}
    return FLAGS[flag].convert(config[flag], config)


CASES = [
    # nn.SGD and nn.Momentum are one; nn.RMSProp's decay is 0.9.
    ("opt", {"opt": "momentum"}, SKIP),
    ("opt", {"opt": "SGD"}, SKIP),
    ("opt", {}, ("adam", SKIP)),
    ("opt", {"opt": "rmsprop"}, ("rmsprop", 0.9)),
    ("momentum", {"opt": "adamw"}, SKIP),
    ("momentum", {"opt": "rmsprop"}, 0.9),
    ("eps", {"opt": "adamw", "eps": 1e-8}, SKIP),
    ("eps", {"opt": "rmsprop", "eps": 1e-3}, 1e-3),
    ("use_nesterov", {"opt": "sgd", "use_nesterov": True}, True),
    ("use_nesterov", {"opt": "lion", "use_nesterov": True}, SKIP),
    # The warm-up begins at a factor of 0, included; one_cycle and cyclic have none.
    ("warmup_factor", {}, 0.0),
    ("warmup_factor", {"warmup_epochs": 0}, SKIP),
    ("warmup_factor", {"scheduler": "one_cycle"}, 1 / 25),
    ("warmup_epochs", {"scheduler": "one_cycle"}, SKIP),
    ("warmup_epochs", {"scheduler": "cyclic"}, SKIP),
    ("min_lr", {"scheduler": "one_cycle", "min_lr": 0.1}, 0.1),
    ("min_lr", {"scheduler": "constant"}, SKIP),
    ("decay_epochs", {"epoch_size": 90, "decay_epochs": 87}, SKIP),
    ("decay_epochs", {"epoch_size": 90, "decay_epochs": 80}, (80, SKIP)),
    ("decay_epochs", {"epoch_size": 23, "decay_epochs": 10, "num_cycles": 2}, SKIP),
    ("decay_rate", {"scheduler": "polynomial_decay", "decay_rate": 2.0}, (SKIP, 2.0)),
    ("decay_rate", {"scheduler": "exponential_decay"}, (0.9, SKIP)),
    ("decay_rate", {}, SKIP),
    ("lr_epoch_stair", {"lr_epoch_stair": True}, "epoch"),
    (
        "lr_epoch_stair",
        {"lr_epoch_stair": True, "scheduler": "constant", "warmup_epochs": 0},
        SKIP,
    ),
    ("num_cycles", {"num_cycles": 3}, 3),
    ("num_cycles", {"num_cycles": 3, "scheduler": "step_decay"}, SKIP),
    ("cycle_decay", {"cycle_decay": 0.5}, SKIP),
    ("cycle_decay", {"cycle_decay": 0.5, "num_cycles": 2}, 0.5),
    # Half precision.
    ("loss_scale", {"loss_scale": 1024.0}, SKIP),
    ("loss_scale", {"loss_scale": 1024.0, "amp_level": "O2"}, (1024.0, SKIP)),
    (
        "loss_scale",
        {"loss_scale": 1024.0, "amp_level": "O3", "loss_scale_type": "dynamic"},
        ("dynamic", 1024.0),
    ),
    (
        "loss_scale",
        {"amp_level": "O2", "loss_scale_type": "auto"},
        ("dynamic", MINDSPORES_SCALE),
    ),
    ("loss_scale", {"amp_level": "O3", "loss_scale_type": "auto"}, SKIP),
    (
        "amp_cast_list",
        {"amp_level": "O2", "amp_cast_list": "[nn.BatchNorm2d, nn.GroupNorm, nn.Dense]"},
        ("batch_norm", "group_norm", "dense"),
    ),
    (
        "amp_cast_list",
        {"amp_level": "O2", "amp_cast_list": "[nn.BatchNorm1d, nn.BatchNorm2d, nn.Conv2d]"},
        ("batch_norm", "conv"),
    ),
    (
        "amp_cast_list",
        {"amp_level": "O2", "amp_cast_list": ["nn.BatchNorm2d", "nn.Dense"]},
        ("batch_norm", "dense"),
    ),
    ("amp_cast_list", {"amp_level": "O3", "amp_cast_list": "[nn.Dense]"}, SKIP),
    ("amp_cast_list", {"amp_level": "O2", "amp_cast_list": "None"}, SKIP),
    ("val_amp_level", {"amp_level": "O2"}, "O0"),
    ("val_amp_level", {}, SKIP),
    # What is on only beside another.
    ("ema", {"ema": True, "ema_decay": 0.99}, 0.99),
    ("ema", {"ema_decay": 0.99}, SKIP),
    ("clip_grad", {"clip_grad": True}, 15.0),
    ("cutmix_prob", {"cutmix_prob": 0.5}, SKIP),
    ("cutmix_prob", {"cutmix_prob": 0.5, "mixup": 0.2}, 0.5),
    ("keep_checkpoint_max", {}, (10, SKIP)),
    ("keep_checkpoint_max", {"ckpt_save_policy": "top_k"}, (SKIP, 10)),
    ("keep_checkpoint_max", {"ckpt_save_policy": None}, SKIP),
    ("loss", {"loss": "bce"}, "bce"),
    ("loss", {"loss": "ce"}, SKIP),
    # Images. MindCV sets mstd to 0.5 before it reads what a file says of it.
    ("re_prob", {"re_prob": 0.25}, 0.25),
    ("re_prob", {"re_prob": 0.25, "re_scale": [0.02, 0.33], "re_value": 0}, 0.25),
    (
        "re_prob",
        {"re_prob": 0.25, "re_value": "random", "re_max_attempts": 1},
        {"probability": 0.25, "value": "random", "attempts": 1},
    ),
    ("re_prob", {"re_value": "random"}, SKIP),
    (
        "auto_augment",
        {"auto_augment": "randaug-m9-mstd0.5-inc1"},
        {**RANDAUG, "magnitude": 9},
    ),
    (
        "auto_augment",
        {"auto_augment": "randaug-n3-inc1"},
        {**RANDAUG, "magnitude": 10, "operations": 3},
    ),
    (
        "auto_augment",
        {"auto_augment": "autoaug"},
        {"kind": "autoaugment", "magnitude_std": 0.5},
    ),
    ("auto_augment", {"auto_augment": "trivialaugwide"}, "trivialaugment"),
    (
        "auto_augment",
        {"auto_augment": "augmix-m5-w4-d2-a0.5"},
        {"kind": "augmix", "magnitude": 5, "width": 4, "depth": 2, "alpha": 0.5},
    ),
    (
        "distribute",
        {"distribute": True, "batch_size": 64, "gradient_accumulation_steps": 4},
        (2048, "scale_rate"),
    ),
    ("ratio", {"ratio": [0.75, 1.33]}, SKIP),
    ("ratio", {"ratio": [0.5, 2]}, (0.5, 2)),
    ("mean", {"mean": [0.485 * 255, 0.456 * 255, 0.406 * 255]}, [123.675, 116.28, 103.53]),
]


@pytest.mark.parametrize(("flag", "said", "expected"), CASES, ids=lambda part: str(part)[:60])
def test_a_value_is_what_it_means_beside_the_others(flag, said, expected):
    """SKIP where there is nothing to say."""
    assert converted(flag, **said) == expected


@pytest.mark.parametrize(
    ("flag", "said", "nearest"),
    [
        ("auto_augment", {"auto_augment": "3a"}, SKIP),
        ("auto_augment", {"auto_augment": "augmix-m3-mstd1"}, {"kind": "augmix", "magnitude": 3}),
        ("auto_augment", {"auto_augment": "randaug-m7"}, {**RANDAUG, "magnitude": 7}),
        ("use_nesterov", {"opt": "adam", "use_nesterov": True}, SKIP),
        ("weight_decay_filter", {"weight_decay_filter": "auto"}, False),
        ("color_jitter", {"color_jitter": [0.4, 0.4, 0.4, 0.1]}, SKIP),
        ("amp_cast_list", {"amp_level": "O2", "amp_cast_list": "[nn.Dense]"}, ("dense",)),
        ("amp_cast_list", {"amp_level": "O2", "amp_cast_list": "[nn.LSTM]"}, SKIP),
        ("amp_cast_list", {"amp_level": "O2", "amp_cast_list": "[]"}, SKIP),
        ("amp_cast_list", {"amp_level": "O1", "amp_cast_list": "[nn.Dense]"}, SKIP),
        ("drop_overflow_update", {"drop_overflow_update": True, "amp_level": "O2"}, SKIP),
    ],
)
def test_of_what_has_no_counterpart_the_nearest_is_taken(flag, said, nearest):
    """Or nothing."""
    with pytest.raises(NotTaken) as caught:
        converted(flag, **said)
    assert caught.value.value == nearest
