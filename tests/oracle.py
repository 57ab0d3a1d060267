"""A network's forward pass in NumPy and SciPy, in float64: what the emitted text is held to.

It knows nothing of MindSpore and nothing of the writer: an operator is anything with a name, a
kind, inputs and attrs. Every rule below follows the papers' formulas
and the conventions that PyTorch documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np
import oracle_pixels as pixels
from numpy.lib.stride_tricks import sliding_window_view
from scipy import special

Array = Any


def forward(ops: Iterable[Any], parameters: Mapping[str, Array], images: Array) -> Array:
    """Return the output of the last operator, in evaluation mode;
    `ops` stand in an order that can run.
    """
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
    """Return the names and shapes of the parameters that the operators have,
    MindSpore's moving ones too.
    """
    found: dict[str, tuple[int, ...]] = {}
    for op in ops:
        for suffix, shape in shapes_of(op.kind, op.attrs).items():
            found[f"{op.name}.{suffix}"] = shape
    return found


def random_parameters(ops: Iterable[Any], seed: int) -> dict[str, Array]:
    """Return float32 parameters, none of them trivial: no gamma is 1, no beta and no mean is 0."""
    random = np.random.default_rng(seed)
    draw = {
        "gamma": lambda shape: (
            random.uniform(0.5, 1.5, shape) * random.choice([-1, 1, 1, 1], shape)
        ),
        "beta": lambda shape: random.normal(0, 0.3, shape),
        "moving_mean": lambda shape: random.normal(0, 0.3, shape),
        "moving_variance": lambda shape: random.uniform(0.5, 2, shape),
        "weight": lambda shape: random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape),
        "bias": lambda shape: random.normal(0, 0.3, shape),
        "w": lambda shape: random.uniform(0.1, 0.4, shape),
    }
    return {
        name: draw[name.rpartition(".")[2]](shape).astype(np.float32)
        for name, shape in shapes(ops).items()
    }


def distance(found: Array, expected: Array) -> float:
    """Return max|found - expected| / max|expected|."""
    assert found.shape == expected.shape
    assert np.isfinite(expected).all()
    return float(np.abs(found - expected).max() / np.abs(expected).max())


class _Asked(dict[str, Array]):
    """Weights of 1 for each channel; which were asked for is known afterwards."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def __missing__(self, role: str) -> Array:
        return self.setdefault(role, np.ones(self.channels))


def shapes_of(kind: str, attrs: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of an operator's parameters: filters of what makes channels of others, as
    its formula has them; of what has a value for each channel its formula tells which.
    """
    if "in_channels" in attrs:
        return _filters_of(kind, attrs)
    if "channels" not in attrs:
        return {}
    channels = attrs["channels"]
    asked = _Asked(channels)
    KINDS[kind]([np.ones((1, channels, 2, 2))], asked, attrs)
    return dict.fromkeys(asked, (channels,))


def _filters_of(kind: str, attrs: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """What slides a window has no bias where it says nothing of one, since a norm follows it."""
    ins, outs, groups = attrs["in_channels"], attrs["out_channels"], attrs.get("groups", 1)
    slides = "kernel" in attrs
    window = (attrs["kernel"],) * 2 if slides else ()
    sizes = (outs, ins // groups) if _has_filters_by_output(kind, slides) else (ins, outs // groups)
    bias = {"bias": (outs,)} if attrs.get("bias", not slides) else {}
    return {"weight": (*sizes, *window), **bias}


@cache
def _has_filters_by_output(kind: str, slides: bool) -> bool:
    """Whether the formula takes filters of 3 outputs and 2 inputs, and not the other way round."""
    pixels = (1, 1) if slides else ()
    attrs = {"in_channels": 2, "out_channels": 3, "kernel": 1, "stride": 1, "padding": 0}
    try:
        KINDS[kind]([np.ones((1, 2, *pixels))], {"weight": np.ones((3, 2, *pixels))}, attrs)
    except ValueError:
        return False
    return True


def _windows(x: Array, attrs: Mapping[str, Any], filler: float) -> Array:
    """All windows of a padded feature map: (N, C, H, W) -> (N, C, H', W', kernel, kernel)."""
    kernel, stride, padding, dilation = (
        attrs["kernel"],
        attrs["stride"],
        attrs["padding"],
        attrs.get("dilation", 1),
    )
    beyond = [
        -(size + 2 * padding - kernel) % stride if attrs.get("ceil") else 0 for size in x.shape[2:]
    ]
    around = ((0, 0), (0, 0), *((padding, padding + more) for more in beyond))
    padded = np.pad(x, around, constant_values=filler)
    reach = dilation * (kernel - 1) + 1
    windows = sliding_window_view(padded, (reach, reach), axis=(2, 3))[:, :, ::stride, ::stride]
    if attrs.get("ceil"):  # a window that starts beyond the image and its left border is left out
        height, width = (-(-(size + padding) // stride) for size in x.shape[2:])
        windows = windows[:, :, :height, :width]
    return windows[..., ::dilation, ::dilation]


def _conv(inputs: list[Array], mine: Mapping[str, Array], attrs: Mapping[str, Any]) -> Array:
    groups, weight = attrs.get("groups", 1), mine["weight"]
    if attrs.get("standardized"):
        weight = _standardized(weight, attrs["weight_eps"])
    parts = zip(np.split(inputs[0], groups, 1), np.split(weight, groups), strict=True)
    made = [
        np.tensordot(_windows(x, attrs, 0.0), weight, axes=((1, 4, 5), (1, 2, 3)))
        for x, weight in parts
    ]
    return (
        np.concatenate(made, -1).transpose(0, 3, 1, 2)
        + mine.get("bias", np.zeros(1))[:, None, None]
    )


def _standardized(weight: Array, eps: float) -> Array:
    """Qiao et al. 2019: mean 0 and variance 1 of each filter;
    eps as in BiT (Kolesnikov et al. 2020).
    """
    mean, variance = (moment(weight, axis=(1, 2, 3), keepdims=True) for moment in (np.mean, np.var))
    return (weight - mean) / np.sqrt(variance + eps)


def _conv_transpose(
    inputs: list[Array], mine: Mapping[str, Array], attrs: Mapping[str, Any]
) -> Array:
    """Each input pixel adds its copy of the kernel to the output;
    the padding is cut off its edges.
    """
    x, weight = inputs[0], mine["weight"]
    kernel, stride, padding = attrs["kernel"], attrs["stride"], attrs["padding"]
    height, width = ((size - 1) * stride + kernel for size in x.shape[2:])
    out = np.zeros((len(x), weight.shape[1], height, width))
    for row in range(kernel):
        for column in range(kernel):
            added = np.einsum("nihw,io->nohw", x, weight[:, :, row, column])
            rows, columns = (
                slice(at, at + (n - 1) * stride + 1, stride)
                for at, n in zip((row, column), x.shape[2:], strict=True)
            )
            out[:, :, rows, columns] += added
    return (
        out[:, :, padding : height - padding, padding : width - padding]
        + mine.get("bias", np.zeros(1))[:, None, None]
    )


def _batch_norm(inputs: list[Array], mine: Mapping[str, Array], attrs: Mapping[str, Any]) -> Array:
    """One without an eps is a scale and a shift."""
    if attrs["eps"] is None:
        return mine["gamma"][:, None, None] * inputs[0] + mine["beta"][:, None, None]
    gamma, beta, mean, variance = (
        mine[name][:, None, None] for name in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    return gamma * (inputs[0] - mean) / np.sqrt(variance + attrs["eps"]) + beta


def _dense(inputs: list[Array], mine: Mapping[str, Array], attrs: Mapping[str, Any]) -> Array:
    return inputs[0] @ mine["weight"].T + mine.get("bias", 0)


def _group_norm(inputs: list[Array], mine: Mapping[str, Array], attrs: Mapping[str, Any]) -> Array:
    """Wu and He 2018: mean and variance over the pixels and channels of each group."""
    x = inputs[0].reshape(len(inputs[0]), attrs["groups"], -1)
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + attrs["eps"])
    return mine["gamma"][:, None, None] * x.reshape(inputs[0].shape) + mine["beta"][:, None, None]


def _layer_norm(inputs: list[Array], mine: Mapping[str, Array], attrs: Mapping[str, Any]) -> Array:
    """Over the channels of each pixel."""
    x = inputs[0] - inputs[0].mean(1, keepdims=True)
    x = x / np.sqrt((x**2).mean(1, keepdims=True) + attrs["eps"])
    gamma, beta = (_by_channel(mine[role], x) for role in ("gamma", "beta"))
    return gamma * x + beta


def _instance_norm(
    inputs: list[Array], mine: Mapping[str, Array], attrs: Mapping[str, Any]
) -> Array:
    """Ulyanov et al. 2016: over the pixels of each channel of each image, in evaluation too."""
    x = inputs[0] - inputs[0].mean((2, 3), keepdims=True)
    x = x / np.sqrt((x**2).mean((2, 3), keepdims=True) + attrs["eps"])
    return _by_channel(mine["gamma"], x) * x + _by_channel(mine["beta"], x)


def _rms_norm(inputs: list[Array], mine: Mapping[str, Array], attrs: Mapping[str, Any]) -> Array:
    """Zhang and Sennrich 2019, over the channels of each pixel: no mean is taken off."""
    x = inputs[0] / np.sqrt((inputs[0] ** 2).mean(1, keepdims=True) + attrs["eps"])
    return _by_channel(mine["gamma"], x) * x


def _scale(inputs: list[Array], mine: Mapping[str, Array], attrs: Mapping[str, Any]) -> Array:
    """A constant, or one learned factor for each channel (LayerScale, Touvron et al. 2021)."""
    if "value" in attrs:
        return attrs["value"] * inputs[0]
    return _by_channel(mine["gamma"], inputs[0]) * inputs[0]


def _by_channel(values: Array, x: Array) -> Array:
    """One value for each channel of a map (N, C, H, W) or a vector (N, C)."""
    return values.reshape(-1, *[1] * (x.ndim - 2))


def _blur_pool(inputs: list[Array], mine: Mapping[str, Array], attrs: Mapping[str, Any]) -> Array:
    """Zhang 2019: the binomial filter, edges reflected."""
    row = np.array([[1, 2, 1], [1, 4, 6, 4, 1]][attrs["kernel"] == 5], float)
    pad = (attrs["padding"],) * 2
    padded = np.pad(inputs[0], ((0, 0), (0, 0), pad, pad), mode="reflect")
    windows = _windows(padded, {**attrs, "padding": 0}, 0.0)
    return np.einsum("nchwij,i,j->nchw", windows, row / row.sum(), row / row.sum())


def _avg_pool(inputs: list[Array], mine: Mapping[str, Array], attrs: Mapping[str, Any]) -> Array:
    """The zeros of the border count, as PyTorch documents it (count_include_pad);
    what `ceil` adds does not.
    """
    border = ((0, 0), (0, 0), *((attrs["padding"],) * 2,) * 2)
    counted = np.pad(np.ones_like(inputs[0]), border, constant_values=1)
    padded = np.pad(inputs[0], border)
    added = {**attrs, "padding": 0}
    sums, counts = (_windows(x, added, 0.0).sum((4, 5)) for x in (padded, counted))
    height, width = _windows(inputs[0], attrs, 0.0).shape[2:4]
    return sums[:, :, :height, :width] / counts[:, :, :height, :width]


def _global_max_pool(
    inputs: list[Array], mine: Mapping[str, Array], attrs: Mapping[str, Any]
) -> Array:
    return inputs[0].max((2, 3), keepdims=bool(attrs.get("keep")))


def _global_pool(inputs: list[Array], mine: Mapping[str, Array], attrs: Mapping[str, Any]) -> Array:
    return inputs[0].mean((2, 3), keepdims=bool(attrs.get("keep")))


def _hard_swish(x: Array) -> Array:
    """Howard et al. 2019, MobileNetV3, section 5.2."""
    return x * np.clip(x + 3, 0, 6) / 6


def _gelu(x: Array) -> Array:
    """Hendrycks and Gimpel 2016:
    x times the normal distribution's own function, not its tanh likeness.
    """
    return x * special.ndtr(x)


def _elu(x: Array, alpha: float) -> Array:
    """Clevert et al. 2016."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def _softplus(x: Array, beta: float, threshold: float) -> Array:
    """log(1 + exp(beta x)) / beta, and x itself where beta x is above the threshold."""
    return np.where(beta * x > threshold, x, np.logaddexp(0, beta * x) / beta)


def _mish(x: Array) -> Array:
    """Misra 2019."""
    return x * np.tanh(np.logaddexp(0, x))


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
    "elu": lambda inputs, mine, attrs: _elu(inputs[0], attrs["alpha"]),
    "mish": lambda inputs, mine, attrs: _mish(inputs[0]),
    "tanh": lambda inputs, mine, attrs: np.tanh(inputs[0]),
    "softplus": lambda inputs, mine, attrs: _softplus(
        inputs[0], attrs["beta"], attrs.get("threshold", 20.0)
    ),
    "hard_tanh": lambda inputs, mine, attrs: np.clip(inputs[0], attrs["low"], attrs["high"]),
    **dict.fromkeys(("dropout", "dropout2d", "drop_path"), lambda inputs, mine, attrs: inputs[0]),
    "concat": lambda inputs, mine, attrs: np.concatenate(inputs, axis=1),
    "max_pool": lambda inputs, mine, attrs: _windows(inputs[0], attrs, -np.inf).max((4, 5)),
    "avg_pool": _avg_pool,
    "global_avg_pool": _global_pool,
    "global_max_pool": _global_max_pool,
    "conv_transpose": _conv_transpose,
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "instance_norm": _instance_norm,
    "rms_norm": _rms_norm,
    "scale": _scale,
    "blur_pool": _blur_pool,
    "upsample": pixels.upsample,
    "crop": pixels.crop,
    "leaky_relu": lambda inputs, mine, attrs: np.where(
        inputs[0] > 0, inputs[0], attrs["slope"] * inputs[0]
    ),
    "prelu": lambda inputs, mine, attrs: np.where(
        inputs[0] > 0, inputs[0], _by_channel(mine["w"], inputs[0]) * inputs[0]
    ),
    "sigmoid": lambda inputs, mine, attrs: special.expit(inputs[0]),
    "hard_sigmoid": lambda inputs, mine, attrs: np.clip(inputs[0] + 3, 0, 6) / 6,
    "shuffle": pixels.shuffle,
    "pixel_shuffle": pixels.pixel_shuffle,
    "pixel_unshuffle": pixels.pixel_unshuffle,
    "slice": lambda inputs, mine, attrs: inputs[0][:, attrs["start"] : attrs["stop"]],
    "add": lambda inputs, mine, attrs: sum(inputs),
    "multiply": lambda inputs, mine, attrs: inputs[0] * inputs[1],
    "output": lambda inputs, mine, attrs: inputs[0],
}
