"""What users of other zoos, and of recipes, call the keys and steps of a spec."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

from archspec.operators.table import NORMS, ROWS, letters_of, norm_name

# Settings of operators that users of other zoos know -> what to write here.
SETTINGS_OF_OTHERS: Mapping[str, str] = dict(
    chain.from_iterable(row.other_keys.items() for row in ROWS)
)

# Keys that users of other zoos know -> what to write here.
KEYS_OF_OTHERS: Mapping[str, str] = {
    "num_init_features": "stem.channels",  # torchvision
    "init_channels": "stem.channels",  # MMPretrain
    "nb_filter": "stem.channels",  # Keras
    "bn_size": "bottleneck",  # torchvision, timm
    "bn_width": "bottleneck",
    "reduction": "compression",  # Keras, MMPretrain
    "theta": "compression",
    "compression_rate": "compression",
    "compression_factor": "compression",  # MMPretrain
    "k": "growth_rate",
    "growth": "growth_rate",
    "nb_layers": "block_config",
    "nb_layers_per_block": "block_config",  # Keras
    "layers_per_block": "block_config",
    "depths": "block_config",  # MMPretrain
    "depth": "block_config, the layers of each block",  # Keras
    "nb_dense_block": "block_config, the layers of each block",  # Keras
    "num_layers": "block_config, or the layers of each of `blocks`",
    "dropout_rate": "drop_rate",  # Keras
    "proj_drop_rate": "drop_rate",  # timm
    "dropout": "drop_rate, or head.dropout for the classifier",
    "num_classes": "head.num_classes",
    "classes": "head.num_classes",
    "in_chans": "input.channels",  # timm
    "in_channels": "input.channels",
    "image_size": "input.height and input.width",
    "input_size": "input.height and input.width",
    "input_shape": "input.channels, input.height and input.width",  # Keras
    "act": "activation",
    "act_layer": "activation",  # timm
    "act_cfg": "activation",  # MMPretrain
    "norm_layer": "norm",  # timm
    "norm_cfg": "norm",  # MMPretrain
    "affine": "nothing: each norm has a scale, and a shift but for rms",  # torch
    "bn_eps": "norm.eps",
    "memory_efficient": "nothing: it does not change the function",
    "aa_layer": "blur_pool, a step of the stem and of transitions",  # timm
    "arch": "extends: densenet121, and what differs",  # MMPretrain
    "out_indices": "features, which count blocks from 1",  # MMPretrain, timm
    "features_only": "features, and head: none",  # timm
    "frozen_stages": "nothing: it does not change the function",  # MMPretrain
    "global_pool": "head.steps",  # timm
    "pooling": "head.steps",  # Keras
    "include_top": "head: none, for features alone",  # Keras
    "img_size": "input.height and input.width",
    "weights": "nothing: --pretrained, --ckpt and --init-from are flags",  # torchvision, Keras
    "pretrained": "nothing: --pretrained is a flag",  # timm
    "<<": "extends, for whole specs; YAML 1.2 has no merge keys",
}

# What belongs into the recipe, for a spec beside which no recipe is read.
KEYS_OF_RECIPES: Mapping[str, str] = {
    "weight_decay": "optimizer.weight_decay",
    "lr": "schedule.learning_rate",
    "learning_rate": "schedule.learning_rate",
    "epochs": "epochs",
    "epoch_size": "epochs",
    "batch_size": "batch_size",
    "optimizer": "optimizer",
}

# Steps that are no single operator here, by their letters; operators' rows have the other words.
STEPS_OF_OTHERS: Mapping[str, str] = {
    **dict.fromkeys(
        ("se", "selayer", "seblock", "semodule", "squeezeexcitation"),
        "write squeeze_excite",
    ),
    **dict.fromkeys(
        ("lrn", "localresponsenorm", "localresponsenormalization"),
        f"there is no local response norm; norm may be {', '.join(map(norm_name, NORMS))}",
    ),
    "flatten": "leave it out: global_pool gives a vector",
    "identity": "leave it out: a branch that passes on what it reads is []",
    "softmax": "leave it out: a network gives logits",
}

# Functions that no operator here is, though one may be spelled alike.
_NOT_HERE = (
    *("alpha dropout", "feature alpha dropout", "patch dropout", "Gaussian dropout", "drop block"),
    *("SELU", "CELU", "CReLU", "RReLU", "squared ReLU", "thresholded ReLU", "star ReLU"),
    *("quick GELU", "fast GELU", "GELU tanh", "hard mish"),
    *("GLU", "SwiGLU", "GEGLU", "log sigmoid", "softsign", "softmin", "log softmax"),
    *("hard shrink", "H shrink", "soft shrink", "tanh shrink"),
    *("max unpool", "LP pool", "fractional max pool", "stochastic pool", "median pool"),
    *("RoI pool", "grid sample", "global context", "attention"),
    *("scaled std conv", "deform conv", "deformable conv", "weight norm", "spectral norm"),
    *("evo norm", "global response norm"),
)
_DIMENSIONS = ("", "1d", "2d", "3d")
WORDS_OF_NOTHING: Mapping[str, str] = {
    letters_of(name) + end: f"there is no {name}" for name in _NOT_HERE for end in _DIMENSIONS
}
"""What is said of them, by their letters."""
