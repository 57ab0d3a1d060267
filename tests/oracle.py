"""A network's forward pass in NumPy and SciPy, in float64: what the emitted text is held to.

It knows nothing of MindSpore and nothing of the writer: an operator is anything with a name, a kind, inputs
and attrs. Every rule below follows the papers' formulas and the conventions that PyTorch documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy import special

Array = Any


def forward(ops: Iterable[Any], parameters: Mapping[str, Array], images: Array) -> Array:
    """Return the output of the last operator, in evaluation mode; `ops` stand in an order that can run."""
    return values(ops, parameters, images)[-1]


def values(ops: Iterable[Any], parameters: Mapping[str, Array], images: Array) -> list[Array]:
    """Return the output of every operator."""
    made: dict[str, Array] = {}
    for op in ops:
        inputs = [made[name] for name in op.inputs] or [images.astype(np.float64)]
        mine = {
            key.rpartition(".")[2]: np.asarray(value, np.float64)
            for key, value in parameters.items()
            if key.rpartition(".")[0] == op.name
        }
        made[op.name] = KINDS[op.kind](inputs, mine, op.attrs)
    return list(made.values())


def shapes(ops: Iterable[Any]) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of the parameters that the operators have, MindSpore's moving ones too."""
    found: dict[str, tuple[int, ...]] = {}
    for op in ops:
        for suffix, shape in _shapes(op.kind, op.attrs).items():
            found[f"{op.name}.{suffix}"] = shape
    return found


def random_parameters(ops: Iterable[Any], seed: int) -> dict[str, Array]:
    """Return float32 parameters, none of them trivial: no gamma is 1, no beta and no mean is 0."""
    random = np.random.default_rng(seed)
    draw = {
        "gamma": lambda shape: random.uniform(0.5, 1.5, shape) * random.choice([-1, 1, 1, 1], shape),
        "beta": lambda shape: random.normal(0, 0.3, shape),
        "moving_mean": lambda shape: random.normal(0, 0.3, shape),
        "moving_variance": lambda shape: random.uniform(0.5, 2, shape),
        "weight": lambda shape: random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape),
        "bias": lambda shape: random.normal(0, 0.3, shape),
    }
    return {name: draw[name.rpartition(".")[2]](shape).astype(np.float32) for name, shape in shapes(ops).items()}


def distance(found: Array, expected: Array) -> float:
    """Return max|found - expected| / max|expected|."""
    assert found.shape == expected.shape
    assert np.isfinite(expected).all()
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def _shapes(kind: str, attrs: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    if kind == "conv":
        kernel = (attrs["kernel"], attrs["kernel"])
        return {"weight": (attrs["out_channels"], attrs["in_channels"] // attrs.get("groups", 1), *kernel)}
    if kind == "batch_norm":
        channels = (attrs["channels"],)
        return dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), channels)
    if kind == "dense":
        return {"weight": (attrs["out_channels"], attrs["in_channels"]), "bias": (attrs["out_channels"],)}
    return {}


def _windows(x: Array, attrs: Mapping[str, Any], filler: float) -> Array:
    """All windows of a padded feature map: (N, C, H, W) -> (N, C, H', W', kernel, kernel)."""
    kernel, stride, padding = attrs["kernel"], attrs["stride"], attrs["padding"]
    around = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    padded = np.pad(x, around, constant_values=filler)
    return sliding_window_view(padded, (kernel, kernel), axis=(2, 3))[:, :, ::stride, ::stride]


def _conv(inputs: list[Array], mine: Mapping[str, Array], attrs: Mapping[str, Any]) -> Array:
    windows = _windows(inputs[0], attrs, 0.0)
    return np.tensordot(windows, mine["weight"], axes=((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)


def _batch_norm(inputs: list[Array], mine: Mapping[str, Array], attrs: Mapping[str, Any]) -> Array:
    gamma, beta, mean, variance = (
        mine[name][:, None, None] for name in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    return gamma * (inputs[0] - mean) / np.sqrt(variance + attrs["eps"]) + beta


def _dense(inputs: list[Array], mine: Mapping[str, Array], attrs: Mapping[str, Any]) -> Array:
    return inputs[0] @ mine["weight"].T + mine["bias"]


def _hard_swish(x: Array) -> Array:
    """Howard et al. 2019, MobileNetV3, section 5.2."""
    return x * np.clip(x + 3, 0, 6) / 6


def _gelu(x: Array) -> Array:
    """Hendrycks and Gimpel 2016: x times the normal distribution's own function, not its tanh likeness."""
    return x * special.ndtr(x)


# A padded average counts the zeros of the border, as PyTorch's does (count_include_pad).
KINDS: Mapping[str, Any] = {
    "input": lambda inputs, mine, attrs: inputs[0],
    "conv": _conv,
    "batch_norm": _batch_norm,
    "dense": _dense,
    "relu": lambda inputs, mine, attrs: np.maximum(inputs[0], 0),
    "relu6": lambda inputs, mine, attrs: np.clip(inputs[0], 0, 6),
    "silu": lambda inputs, mine, attrs: inputs[0] * special.expit(inputs[0]),
    "gelu": lambda inputs, mine, attrs: _gelu(inputs[0]),
    "hard_swish": lambda inputs, mine, attrs: _hard_swish(inputs[0]),
    "dropout": lambda inputs, mine, attrs: inputs[0],
    "concat": lambda inputs, mine, attrs: np.concatenate(inputs, axis=1),
    "max_pool": lambda inputs, mine, attrs: _windows(inputs[0], attrs, -np.inf).max((4, 5)),
    "avg_pool": lambda inputs, mine, attrs: _windows(inputs[0], attrs, 0.0).mean((4, 5)),
    "global_avg_pool": lambda inputs, mine, attrs: inputs[0].mean((2, 3)),
}
