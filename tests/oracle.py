"""A network's forward pass in NumPy and SciPy, in float64: what the emitted text is held to.

It knows nothing of MindSpore and nothing of the writer: an operator is anything with a name, a
kind, inputs and attrs. Every rule below follows the papers' formulas
and the conventions that PyTorch documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
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
        for suffix, shape in _shapes(op.kind, op.attrs).items():
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


def _shapes(kind: str, attrs: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    if kind == "conv":
        kernel = (attrs["kernel"], attrs["kernel"])
        shapes = {
            "weight": (
                attrs["out_channels"],
                attrs["in_channels"] // attrs.get("groups", 1),
                *kernel,
            )
        }
        return shapes | ({"bias": (attrs["out_channels"],)} if attrs.get("bias") else {})
    if kind == "conv_transpose":
        shapes = {
            "weight": (
                attrs["in_channels"],
                attrs["out_channels"],
                attrs["kernel"],
                attrs["kernel"],
            )
        }
        return shapes | ({"bias": (attrs["out_channels"],)} if attrs.get("bias") else {})
    if kind in ("layer_norm", "group_norm"):
        return dict.fromkeys(("gamma", "beta"), (attrs["channels"],))
    if kind == "prelu":
        return {"w": (attrs["channels"],)}
    if kind == "batch_norm":
        channels = (attrs["channels"],)
        return dict.fromkeys(("gamma", "beta", "moving_mean", "moving_variance"), channels)
    if kind == "dense":
        shapes = {"weight": (attrs["out_channels"], attrs["in_channels"])}
        return shapes | ({"bias": (attrs["out_channels"],)} if attrs.get("bias", True) else {})
    return {}


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
    groups = attrs.get("groups", 1)
    parts = zip(np.split(inputs[0], groups, 1), np.split(mine["weight"], groups), strict=True)
    made = [
        np.tensordot(_windows(x, attrs, 0.0), weight, axes=((1, 4, 5), (1, 2, 3)))
        for x, weight in parts
    ]
    return (
        np.concatenate(made, -1).transpose(0, 3, 1, 2)
        + mine.get("bias", np.zeros(1))[:, None, None]
    )


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


def _bilinear(x: Array, factor: int) -> Array:
    """Between the centres of pixels, each at (i + 1/2) / factor - 1/2, the border repeated."""
    for axis in (2, 3):
        at = np.clip((np.arange(x.shape[axis] * factor) + 0.5) / factor - 0.5, 0, x.shape[axis] - 1)
        low = np.floor(at).astype(int)
        high, share = np.minimum(low + 1, x.shape[axis] - 1), at - low
        share = share.reshape([-1 if n == axis else 1 for n in range(4)])
        x = np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share
    return x


def _upsample(inputs: list[Array], mine: Mapping[str, Array], attrs: Mapping[str, Any]) -> Array:
    factor = attrs["factor"]
    if attrs["mode"] == "nearest":
        return inputs[0].repeat(factor, 2).repeat(factor, 3)
    return _bilinear(inputs[0], factor)


def _crop(inputs: list[Array], mine: Mapping[str, Array], attrs: Mapping[str, Any]) -> Array:
    (height, width), x = attrs["size"], inputs[0]
    top, left = (x.shape[2] - height) // 2, (x.shape[3] - width) // 2
    return x[:, :, top : top + height, left : left + width]


def _shuffle(inputs: list[Array], mine: Mapping[str, Array], attrs: Mapping[str, Any]) -> Array:
    """Zhang et al. 2018: the first channel of each group, then the second of each, and so on."""
    n, channels, *size = inputs[0].shape
    return (
        inputs[0].reshape(n, attrs["groups"], -1, *size).swapaxes(1, 2).reshape(n, channels, *size)
    )


def _global_pool(inputs: list[Array], mine: Mapping[str, Array], attrs: Mapping[str, Any]) -> Array:
    return inputs[0].mean((2, 3), keepdims=bool(attrs.get("keep")))


def _hard_swish(x: Array) -> Array:
    """Howard et al. 2019, MobileNetV3, section 5.2."""
    return x * np.clip(x + 3, 0, 6) / 6


def _gelu(x: Array) -> Array:
    """Hendrycks and Gimpel 2016: x times the normal distribution's own function,
    not its tanh likeness.
    """
    return x * special.ndtr(x)


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
    "avg_pool": _avg_pool,
    "global_avg_pool": _global_pool,
    "conv_transpose": _conv_transpose,
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "blur_pool": _blur_pool,
    "upsample": _upsample,
    "crop": _crop,
    "leaky_relu": lambda inputs, mine, attrs: np.where(
        inputs[0] > 0, inputs[0], attrs["slope"] * inputs[0]
    ),
    "prelu": lambda inputs, mine, attrs: np.where(
        inputs[0] > 0, inputs[0], _by_channel(mine["w"], inputs[0]) * inputs[0]
    ),
    "sigmoid": lambda inputs, mine, attrs: special.expit(inputs[0]),
    "hard_sigmoid": lambda inputs, mine, attrs: np.clip(inputs[0] + 3, 0, 6) / 6,
    "shuffle": _shuffle,
    "slice": lambda inputs, mine, attrs: inputs[0][:, attrs["start"] : attrs["stop"]],
    "add": lambda inputs, mine, attrs: sum(inputs),
    "multiply": lambda inputs, mine, attrs: inputs[0] * inputs[1],
    "output": lambda inputs, mine, attrs: inputs[0],
}
