"""What other tools call a key of a recipe."""

from __future__ import annotations

from collections.abc import Mapping

FOREIGN_KEYS: Mapping[str, str] = {
    "lr": "schedule.learning_rate",
    "lr0": "schedule.learning_rate",  # Ultralytics
    "base_lr": "schedule.learning_rate",
    "min_lr": "schedule.final",  # MindCV, timm
    "wd": "optimizer.weight_decay",
    "decay": "optimizer.weight_decay",
    "opt": "optimizer.kind",  # MindCV, timm
    "optim": "optimizer.kind",
    "use_nesterov": "optimizer.nesterov",  # MindCV
    "sched": "schedule.kind",  # timm
    "scheduler": "schedule.kind",  # MindCV
    "lr_scheduler": "schedule.kind",
    "warmup": "schedule.warmup_epochs",
    "decay_rate": "schedule.factor",  # MindCV, timm
    "gamma": "schedule.factor",  # torch
    "bs": "batch_size",
    "batch": "batch_size",  # Ultralytics
    "epoch_size": "epochs",  # MindCV
    "num_epochs": "epochs",
    "smoothing": "label_smoothing",  # timm
    "amp_level": "amp",  # MindCV
    "amp_cast_list": "amp_keep_float32",  # MindCV
    "sync_bn": "sync_batch_norm",  # timm, MMEngine
    "sync_batchnorm": "sync_batch_norm",  # Lightning
    "grad_checkpointing": "recompute",  # timm
    "gradient_checkpointing": "recompute",
    "mixup_alpha": "data.mixup",  # torchvision
    "cutmix_alpha": "data.cutmix",
    "mixup_prob": "data.mix_probability",  # timm
    "cutmix_prob": "data.mix_probability",  # MindCV
    "re_prob": "data.random_erasing",  # MindCV
    "reprob": "data.random_erasing",  # timm
    "re_scale": "data.random_erasing.scale",  # MindCV
    "re_ratio": "data.random_erasing.ratio",
    "re_value": "data.random_erasing.value",
    "re_max_attempts": "data.random_erasing.attempts",
    "aa": "data.auto_augment",  # timm
    "aug_repeats": "data.repeats",  # MindCV, timm
    "ra_reps": "data.repeats",  # torchvision
    "num_samples": "data.samples",  # MindCV
    "num_workers": "data.workers",  # torch
    "num_parallel_workers": "data.workers",  # MindCV
    "log_interval": "log_every",  # MindCV, timm
}
