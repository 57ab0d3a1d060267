"""Networks as ONNX files in the ways in which frameworks write them, put together with onnx.helper.

A network is a list of steps: anything with a name, a kind, inputs and attrs, as the oracle takes
them. Weights are drawn by name, so that equal steps of two networks have equal ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = Any


class Step(NamedTuple):
    """An operator of a network."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    attrs: Mapping[str, Any]


@dataclass(frozen=True)
class Style:
    """How a file is written."""

    norm: str = "batch_norm"
    """Or `folded` into the convolution before, where there is one, or `affine`: Mul and Add."""
    joins: str = "growing"
    """All feature maps anew in each layer, or `running`: the last join and the newest map."""
    head: str = "flatten"
    """`mean`, `shape` (sizes computed in the file), `squeeze`,
    `conv`, `window` (a pool of the whole map)."""
    classifier: str = "gemm"
    """Or `matmul` and Add."""
    pads: bool = False
    """A Pad of its own before each padded window."""
    batch: int | str = "batch"
    opset: int = 17
    written_out: bool = False
    """Activations in several nodes."""
    nodes: bool = False
    """Constants, weights too, in nodes of their own."""
    filters: str = "written"
    """Standardized ones: mean and variance written out;
    `normed` by a batch norm of filters in rows, or `stored` as they are used."""
    drops_zeros: bool = False
    """Biases of zeros are left out."""


STYLES: Mapping[str, Style] = {
    "torch": Style(),
    "torch folded": Style(norm="folded", batch=2, opset=11, filters="stored"),
    "torch 1.4": Style(head="shape", opset=9, batch="N"),
    "running": Style(joins="running", head="mean", opset=18, filters="normed"),
    "scale and shift": Style(norm="affine", classifier="matmul", head="squeeze", opset=13),
    "mindcv": Style(pads=True, head="mean", opset=11, batch=3, written_out=True, filters="normed"),
    "all convolutions": Style(
        norm="folded", joins="running", head="conv", nodes=True, opset=20, filters="stored"
    ),
    "view": Style(head="window", classifier="matmul", opset=13, nodes=True, written_out=True),
}


def densenet(
    blocks: Sequence[int],
    growth: int,
    image: tuple[int, int, int],
    classes: int,
    imagenet: bool = True,
) -> list[Step]:
    """DenseNet-BC as torchvision has it; without its large stem for small images."""
    steps, width = [Step("input", "input", (), {"shape": image})], 2 * growth

    def add(name: str, kind: str, *inputs: str, **attrs: Any) -> str:
        steps.append(Step(name, kind, inputs or (steps[-1].name,), attrs))
        return name

    def conv(name: str, out: int, kernel: int, stride: int = 1, padding: int = 0) -> str:
        return add(name, "conv", out_channels=out, kernel=kernel, stride=stride, padding=padding)

    if imagenet:
        conv("features.conv0", width, 7, 2, 3)
        add("features.norm0", "batch_norm", eps=1e-5)
        add("features.relu0", "relu")
        add("features.pool0", "max_pool", kernel=3, stride=2, padding=1)
    else:
        conv("features.conv0", width, 3, 1, 1)
    for number, layers in enumerate(blocks, start=1):
        block, maps = f"features.denseblock{number}", [steps[-1].name]
        for index in range(1, layers + 1):
            layer, reads = f"{block}.denselayer{index}", maps[0]
            if maps[1:]:
                reads = add(f"{block}.concat{index}", "concat", *maps)
            add(f"{layer}.norm1", "batch_norm", reads, eps=1e-5)
            add(f"{layer}.relu1", "relu")
            conv(f"{layer}.conv1", 4 * growth, 1)
            add(f"{layer}.norm2", "batch_norm", eps=1e-5)
            add(f"{layer}.relu2", "relu")
            maps.append(conv(f"{layer}.conv2", growth, 3, 1, 1))
        add(f"{block}.concat", "concat", *maps)
        width += layers * growth
        if number < len(blocks):
            transition, width = f"features.transition{number}", width // 2
            add(f"{transition}.norm", "batch_norm", eps=1e-5)
            add(f"{transition}.relu", "relu")
            conv(f"{transition}.conv", width, 1)
            add(f"{transition}.pool", "avg_pool", kernel=2, stride=2, padding=0)
    add("features.norm5", "batch_norm", eps=1e-5)
    add("relu5", "relu")
    add("pool", "global_avg_pool")
    add("classifier", "dense", out_channels=classes)
    return steps


@lru_cache(10_000)
def _drawn(name: str, shape: tuple[int, ...]) -> Array:
    if min(shape) < 1:
        raise ValueError(f"{name} of shape {shape}")
    rng, role = np.random.default_rng(crc32(name.encode())), name.rpartition(".")[2]
    if role == "weight":
        return rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape).astype(np.float32)
    low, high = {"gamma": (0.5, 1.5), "moving_variance": (0.5, 2), "w": (0.1, 0.4)}.get(
        role, (-0.5, 0.5)
    )
    return rng.uniform(low, high, shape).astype(np.float32)


@dataclass
class File:
    """An ONNX file in the making; `weights` are the oracle's, by name."""

    style: Style
    weights: dict[str, Array] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    joined: dict[tuple[str, ...], str] = field(default_factory=dict)

    def node(self, kind: str, *inputs: str, out: str = "", more: int = 0, **attrs: Any) -> str:
        """Add a node, and return its first output; `more` others are there and not read."""
        out = out or f"/{kind}_{len(self.nodes)}_output_0"
        outs = [out, *(f"{out}_{number}" for number in range(more))]
        name = out.removesuffix("_output_0")
        self.nodes.append(helper.make_node(kind, [*inputs], outs, name=name, **attrs))
        return out

    def constant(self, values: Any, name: str = "", kind: Any = np.float32) -> str:
        name = name or f"onnx::{len(self.nodes) + len(self.constants)}"
        tensor = numpy_helper.from_array(np.asarray(values, kind), name)
        if self.style.nodes:
            return self.node("Constant", out=name, value=tensor)
        self.constants.append(tensor)
        return name

    def sizes(self, *values: int) -> str:
        return self.constant(values, kind=np.int64)

    def draw(self, name: str, shape: Sequence[int]) -> Array:
        """A weight, none of them trivial;
        anew where another shape is wanted than that of the one there is.
        """
        if name in self.weights and self.weights[name].shape == tuple(shape):
            return self.weights[name]
        self.weights[name] = _drawn(name, tuple(shape))
        return self.weights[name]

    def add(self, step: Any, norm: Any = None) -> None:
        """Add a step, and a norm that is folded into it."""
        attrs = {"bias": step.kind == "dense", "groups": 1, "dilation": 1, **step.attrs}
        sources = [self.values[name] for name in step.inputs]
        shapes = [self.shapes[name] for name in step.inputs]
        value, shape = writer_of(step.kind)(self, step, attrs, sources, shapes, norm)
        name = norm.name if norm else step.name
        self.values[name], self.shapes[name] = value, shape

    def padded(self, x: str, attrs: Mapping[str, Any]) -> tuple[str, list[int]]:
        """Write the padding before a window, or leave it to the window."""
        padding = attrs["padding"]
        if not (self.style.pads and padding):
            return x, [padding] * 4
        pads = [0, 0, padding, padding] * 2
        if self.style.opset < 11:
            return self.node("Pad", x, pads=pads), [0] * 4
        return self.node("Pad", x, self.sizes(*pads), self.constant(0.0)), [0] * 4


def _window(shape: tuple[int, ...], attrs: Mapping[str, Any]) -> tuple[int, int]:
    height, width = (_places(size, attrs) for size in shape[1:])
    return height, width


def _places(size: int, attrs: Mapping[str, Any]) -> int:
    """Of a window along one side;
    with `ceil` over the edge too, but not where it would start beyond it.
    """
    kernel, stride, padding = (attrs[name] for name in ("kernel", "stride", "padding"))
    room = size + 2 * padding - attrs["dilation"] * (kernel - 1) - 1
    if not attrs.get("ceil"):
        return room // stride + 1
    return min(-(-room // stride), (size + padding - 1) // stride) + 1


def _input(file: File, step: Any, attrs: Any, sources: Any, shapes: Any, norm: Any) -> Any:
    return step.name, tuple(attrs["shape"])


def _conv(file: File, step: Any, attrs: Any, sources: Any, shapes: Any, norm: Any) -> Any:
    ins, kernel, out = shapes[0][0], attrs["kernel"], attrs["out_channels"]
    weight = file.draw(f"{step.name}.weight", (out, ins // attrs["groups"], kernel, kernel))
    bias = file.draw(f"{step.name}.bias", (out,)) if attrs["bias"] else None
    is_stored = norm is not None or file.style.filters == "stored"
    if attrs.get("standardized") and is_stored:
        weight = standardized(weight, attrs["weight_eps"])
    if norm is not None:
        scale, shift = _scale_and_shift(file, norm, out)
        weight, bias = (
            weight * scale[:, None, None, None],
            shift + (0 if bias is None else bias * scale),
        )
    x, pads = file.padded(sources[0], attrs)
    given = [file.constant(weight, f"{step.name}.weight")]
    if attrs.get("standardized") and not is_stored:
        write = _normed_filters if _norms_filters(file.style) else _written_filters
        given = [write(file, given[0], weight.shape, attrs["weight_eps"])]
    given += [] if _is_left_out(file, bias) else [file.constant(bias, f"{step.name}.bias")]
    own = {
        "kernel_shape": [kernel] * 2,
        "strides": [attrs["stride"]] * 2,
        "dilations": [attrs["dilation"]] * 2,
    }
    value = file.node("Conv", x, *given, pads=pads, group=attrs["groups"], **own)
    return value, (out, *_window(shapes[0], attrs))


def standardized(weight: Array, eps: float) -> Array:
    """What exporters store of a weight, which they compute in float32."""
    mean, variance = (f(weight, axis=(1, 2, 3), keepdims=True) for f in (np.mean, np.var))
    return ((weight - mean) / np.sqrt(variance + np.float32(eps))).astype(np.float32)


def _norms_filters(style: Style) -> bool:
    """Before opset 14 a batch norm is in training mode by the number of its outputs."""
    return style.filters == "normed" and style.opset >= 14


def _average(file: File, x: str, axes: Sequence[int], keep: bool = True) -> str:
    by_input = file.style.opset >= 18
    given, own = ([file.sizes(*axes)], {}) if by_input else ([], {"axes": axes})
    return file.node("ReduceMean", x, *given, keepdims=int(keep), **own)


def _written_filters(file: File, weight: str, shape: Any, eps: float) -> str:
    """As torch's exporter writes torch.var_mean(weight, (1, 2, 3), unbiased=False)."""
    axes = (1, 2, 3)
    centred = file.node("Sub", weight, _average(file, weight, axes))
    variance = _average(file, file.node("Mul", centred, centred), axes)
    again = file.node("Sub", weight, _average(file, weight, axes))
    root = file.node("Sqrt", file.node("Add", variance, file.constant(eps)))
    return file.node("Div", again, root)


def _normed_filters(file: File, weight: str, shape: Any, eps: float) -> str:
    """As timm has it: a batch norm of filters, each a channel in a row, in training mode;
    or, as torch's dynamo writes that, of their mean and variance.
    """
    rows = file.node("Reshape", weight, file.sizes(1, shape[0], -1))
    ones, zeros = (file.constant([value] * shape[0]) for value in (1, 0))
    mean, variance, mode = ones, ones, {"training_mode": 1, "momentum": 1.0, "more": 2}
    if file.style.written_out:
        mean, mode = _average(file, rows, (0, 2), keep=False), {}
        centred = file.node("Sub", rows, _average(file, rows, (0, 2)))
        squares = file.node("Mul", centred, centred)
        variance = _average(file, squares, (0, 2), keep=False)
    made = file.node("BatchNormalization", rows, ones, zeros, mean, variance, epsilon=eps, **mode)
    return file.node("Reshape", made, file.sizes(*shape))


def _is_left_out(file: File, bias: Array | None) -> bool:
    return bias is None or (file.style.drops_zeros and not bias.any())


def _conv_transpose(file: File, step: Any, attrs: Any, sources: Any, shapes: Any, norm: Any) -> Any:
    kernel, out, stride, padding = (
        attrs[name] for name in ("kernel", "out_channels", "stride", "padding")
    )
    given = [file.constant(file.draw(f"{step.name}.weight", (shapes[0][0], out, kernel, kernel)))]
    given += [file.constant(file.draw(f"{step.name}.bias", (out,)))] if attrs["bias"] else []
    value = file.node(
        "ConvTranspose",
        sources[0],
        *given,
        kernel_shape=[kernel] * 2,
        strides=[stride] * 2,
        pads=[padding] * 4,
    )
    return value, (out, *((size - 1) * stride + kernel - 2 * padding for size in shapes[0][1:]))


def _scale_and_shift(file: File, norm: Any, channels: int) -> tuple[Array, Array]:
    gamma, beta, mean, variance = _norm_weights(file, norm, channels)
    scale = gamma / np.sqrt(variance + norm.attrs["eps"])
    return scale, beta - mean * scale


def _norm_weights(file: File, norm: Any, channels: int) -> list[Array]:
    return [
        file.draw(f"{norm.name}.{role}", (channels,))
        for role in ("gamma", "beta", "moving_mean", "moving_variance")
    ]


def _batch_norm(file: File, step: Any, attrs: Any, sources: Any, shapes: Any, norm: Any) -> Any:
    channels = shapes[0][0]
    if file.style.norm == "affine":
        scale, shift = (
            file.constant(part[:, None, None]) for part in _scale_and_shift(file, step, channels)
        )
        return file.node("Add", file.node("Mul", sources[0], scale), shift), shapes[0]
    weights = [file.constant(weight) for weight in _norm_weights(file, step, channels)]
    return file.node(
        "BatchNormalization", sources[0], *weights, epsilon=attrs["eps"], momentum=0.9
    ), shapes[0]


def _concat(file: File, step: Any, attrs: Any, sources: Any, shapes: Any, norm: Any) -> Any:
    joined = file.joined.get(step.inputs[:-1])
    file.joined[step.inputs] = step.name
    if file.style.joins == "running" and joined:
        sources = [file.values[joined], sources[-1]]
    return file.node("Concat", *sources, axis=1), (
        sum(shape[0] for shape in shapes),
        *shapes[0][1:],
    )


def _pool(file: File, step: Any, attrs: Any, sources: Any, shapes: Any, norm: Any) -> Any:
    x, pads = file.padded(sources[0], attrs)
    own = {"count_include_pad": 1} if step.kind == "avg_pool" else {}
    if file.style.opset > 9:
        own["ceil_mode"] = int(attrs.get("ceil", False))
    kind = {"max_pool": "MaxPool", "avg_pool": "AveragePool"}[step.kind]
    value = file.node(
        kind, x, kernel_shape=[attrs["kernel"]] * 2, strides=[attrs["stride"]] * 2, pads=pads, **own
    )
    return value, (shapes[0][0], *_window(shapes[0], attrs))


def _global_pool(file: File, step: Any, attrs: Any, sources: Any, shapes: Any, norm: Any) -> Any:
    channels, height, width = shapes[0]
    if attrs.get("keep"):
        return file.node("GlobalAveragePool", sources[0]), (channels, 1, 1)
    if file.style.head == "mean":
        by_input = file.style.opset >= 18
        given, own = ([file.sizes(-1, -2)], {}) if by_input else ([], {"axes": [2, 3]})
        return file.node("ReduceMean", sources[0], *given, keepdims=0, **own), (channels,)
    if file.style.head == "window" and height == width:
        pooled = file.node("AveragePool", sources[0], kernel_shape=[height, width])
    else:
        pooled = file.node("GlobalAveragePool", sources[0])
    return _FLAT[file.style.head](file, pooled), (channels,)


def _computed_shape(file: File, x: str) -> str:
    """As torch's exporter writes x.view(x.size(0), -1)."""
    batch = file.node("Gather", file.node("Shape", x), file.constant(0, kind=np.int64), axis=0)
    parts = (
        file.node("Unsqueeze", batch, axes=[0]),
        file.node("Unsqueeze", file.constant(-1, kind=np.int64), axes=[0]),
    )
    return file.node("Reshape", x, file.node("Concat", *parts, axis=0))


_FLAT: Mapping[str, Callable[[File, str], str]] = {
    "flatten": lambda file, x: file.node("Flatten", x, axis=1),
    "shape": _computed_shape,
    "squeeze": lambda file, x: file.node(
        "Squeeze", file.node("Squeeze", x, file.sizes(3)), file.sizes(2)
    ),
    "window": lambda file, x: file.node("Reshape", x, file.sizes(0, -1)),
    "conv": lambda file, x: x,
}


def _dense(file: File, step: Any, attrs: Any, sources: Any, shapes: Any, norm: Any) -> Any:
    out, shape = attrs["out_channels"], (attrs["out_channels"],)
    weight, bias = (
        file.draw(f"{step.name}.weight", (out, shapes[0][0])),
        file.draw(f"{step.name}.bias", (out,)),
    )
    bias = bias if attrs["bias"] else None
    given = [] if _is_left_out(file, bias) else [file.constant(bias)]
    if file.style.head == "conv":
        made = file.node("Conv", sources[0], file.constant(weight[:, :, None, None]), *given)
        return file.node("Flatten", made), shape
    if file.style.classifier == "gemm":
        return file.node("Gemm", sources[0], file.constant(weight), *given, transB=1), shape
    made = file.node("MatMul", sources[0], file.constant(weight.T))
    return (file.node("Add", *given, made) if given else made), shape


def _activation(file: File, step: Any, attrs: Any, sources: Any, shapes: Any, norm: Any) -> Any:
    written = file.style.written_out and step.kind in _WRITTEN_OUT
    made = (_WRITTEN_OUT if written else ACTIVATIONS)[step.kind](
        file, sources[0], step, shapes[0][0]
    )
    return made, shapes[0]


def _erf_gelu(file: File, x: str, step: Any, channels: int) -> str:
    erf = file.node("Erf", file.node("Div", x, file.constant(np.sqrt(2))))
    return file.node(
        "Mul", file.node("Mul", x, file.node("Add", erf, file.constant(1.0))), file.constant(0.5)
    )


def _tanh_gelu(file: File, x: str, step: Any, channels: int) -> str:
    cubed = file.node("Mul", file.constant(0.044715), file.node("Pow", x, file.constant(3.0)))
    inner = file.node("Mul", file.node("Add", x, cubed), file.constant(np.sqrt(2 / np.pi)))
    gate = file.node("Add", file.constant(1.0), file.node("Tanh", inner))
    return file.node("Mul", file.node("Mul", file.constant(0.5), x), gate)


def _clip(file: File, x: str, low: float, high: float) -> str:
    if file.style.opset < 11:
        return file.node("Clip", x, min=low, max=high)
    return file.node("Clip", x, file.constant(low), file.constant(high))


def _hard_swish(file: File, x: str, step: Any, channels: int) -> str:
    gate = _clip(file, file.node("Add", x, file.constant(3.0)), 0.0, 6.0)
    return file.node("Div", file.node("Mul", x, gate), file.constant(6.0))


def _slopes(file: File, step: Any, channels: int) -> str:
    """One for each channel, of a map or of a vector."""
    pixels = file.shapes[step.inputs[0]][1:]
    slopes = file.draw(f"{step.name}.w", (channels,))
    return file.constant(slopes.reshape(channels, *[1] * len(pixels)))


def _hard_sigmoid(file: File, x: str, step: Any, channels: int) -> str:
    return file.node("HardSigmoid", x, alpha=1 / 6, beta=0.5)


def _mish(file: File, x: str, step: Any, channels: int) -> str:
    return file.node("Mul", x, file.node("Tanh", file.node("Softplus", x)))


def _newer_mish(file: File, x: str, step: Any, channels: int) -> str:
    """As torch's dynamo writes it, where the opset has it."""
    return file.node("Mish", x) if file.style.opset >= 18 else _mish(file, x, step, channels)


def _softplus(file: File, x: str, step: Any, channels: int) -> str:
    if step.attrs["beta"] == 1:
        return file.node("Softplus", x)
    beta = file.constant(step.attrs["beta"])
    return file.node("Div", file.node("Softplus", file.node("Mul", x, beta)), beta)


def _linear_softplus(file: File, x: str, step: Any, channels: int) -> str:
    """As torch's dynamo writes it: x itself where it is large."""
    beta = file.constant(step.attrs["beta"])
    scaled = x if step.attrs["beta"] == 1 else file.node("Mul", x, beta)
    soft = file.node("Softplus", scaled)
    soft = soft if scaled == x else file.node("Div", soft, beta)
    return file.node("Where", file.node("Greater", scaled, file.constant(20.0)), x, soft)


ACTIVATIONS: Mapping[str, Callable[[File, str, Any, int], str]] = {
    "relu": lambda file, x, step, channels: file.node("Relu", x),
    "relu6": lambda file, x, step, channels: _clip(file, x, 0.0, 6.0),
    "silu": lambda file, x, step, channels: file.node("Mul", x, file.node("Sigmoid", x)),
    "gelu": _erf_gelu,
    "gelu tanh": _tanh_gelu,
    "hard_swish": lambda file, x, step, channels: file.node(
        "Mul", x, _hard_sigmoid(file, x, step, channels)
    ),
    "hard_sigmoid": _hard_sigmoid,
    "sigmoid": lambda file, x, step, channels: file.node("Sigmoid", x),
    "leaky_relu": lambda file, x, step, channels: file.node(
        "LeakyRelu", x, alpha=step.attrs["slope"]
    ),
    "prelu": lambda file, x, step, channels: file.node("PRelu", x, _slopes(file, step, channels)),
    "elu": lambda file, x, step, channels: file.node("Elu", x, alpha=step.attrs["alpha"]),
    "mish": _mish,
    "tanh": lambda file, x, step, channels: file.node("Tanh", x),
    "softplus": _softplus,
    "hard_tanh": lambda file, x, step, channels: _clip(
        file, x, step.attrs["low"], step.attrs["high"]
    ),
    "dropout": lambda file, x, step, channels: file.node("Dropout", x),
    **dict.fromkeys(("dropout2d", "drop_path"), lambda file, x, step, channels: x),
}
_WRITTEN_OUT: Mapping[str, Callable[[File, str, Any, int], str]] = {
    "relu": lambda file, x, step, channels: file.node("Max", x, file.constant(0.0)),
    "silu": lambda file, x, step, channels: file.node("Mul", file.node("Sigmoid", x), x),
    "hard_swish": _hard_swish,
    "mish": _newer_mish,
    "softplus": _linear_softplus,
    "gelu": lambda file, x, step, channels: file.node(
        "Mul",
        x,
        file.node(
            "Mul",
            file.constant(0.5),
            file.node(
                "Add",
                file.constant(1.0),
                file.node("Erf", file.node("Mul", x, file.constant(0.5**0.5))),
            ),
        ),
    ),
}


def _slice(file: File, step: Any, attrs: Any, sources: Any, shapes: Any, norm: Any) -> Any:
    start, stop = attrs["start"], attrs["stop"]
    value = file.node("Slice", sources[0], file.sizes(start), file.sizes(stop), file.sizes(1))
    return value, (stop - start, *shapes[0][1:])


def _crop(file: File, step: Any, attrs: Any, sources: Any, shapes: Any, norm: Any) -> Any:
    """As torch writes x[:, :, top:bottom, left:right]: a node for each axis."""
    value = sources[0]
    for axis, (at, size) in enumerate(zip(attrs["corner"], attrs["size"], strict=True), start=2):
        value = file.node("Slice", value, *map(file.sizes, (at, at + size, axis, 1)))
    return value, (shapes[0][0], *attrs["size"])


def _layer_norm(file: File, step: Any, attrs: Any, sources: Any, shapes: Any, norm: Any) -> Any:
    """Over the channels of each pixel: they have to stand last."""
    weights = [file.constant(file.draw(f"{step.name}.{role}", shapes[0][:1])) for role in _AFFINE]
    is_map = len(shapes[0]) == 3
    x = file.node("Transpose", sources[0], perm=[0, 2, 3, 1]) if is_map else sources[0]
    x = file.node("LayerNormalization", x, *weights, axis=-1, epsilon=attrs["eps"])
    return (file.node("Transpose", x, perm=[0, 3, 1, 2]) if is_map else x), shapes[0]


def _group_norm(file: File, step: Any, attrs: Any, sources: Any, shapes: Any, norm: Any) -> Any:
    """As torch's exporter writes it."""
    groups, channels = attrs["groups"], shapes[0][0]
    x = file.node("Reshape", sources[0], file.sizes(0, groups, -1))
    ones, zeros = (file.constant([value] * groups) for value in (1, 0))
    x = file.node("InstanceNormalization", x, ones, zeros, epsilon=attrs["eps"])
    x = file.node("Reshape", x, file.node("Shape", sources[0]))
    scale, shift = (
        file.constant(file.draw(f"{step.name}.{role}", (channels,))[:, None, None])
        for role in _AFFINE
    )
    return file.node("Add", file.node("Mul", x, scale), shift), shapes[0]


_AFFINE = ("gamma", "beta")


def _instance_norm(file: File, step: Any, attrs: Any, sources: Any, shapes: Any, norm: Any) -> Any:
    weights = [file.constant(file.draw(f"{step.name}.{role}", shapes[0][:1])) for role in _AFFINE]
    x = file.node("InstanceNormalization", sources[0], *weights, epsilon=attrs["eps"])
    return x, shapes[0]


def _rms_norm(file: File, step: Any, attrs: Any, sources: Any, shapes: Any, norm: Any) -> Any:
    """As torch's exporter writes x * rsqrt(mean(x ** 2, 1) + eps) * gamma,
    or with a division by the root.
    """
    (channels, *pixels), x = shapes[0], sources[0]
    squares = file.node("Pow", x, file.constant(2.0))
    by_input = file.style.opset >= 18
    given, own = ([file.sizes(1)], {}) if by_input else ([], {"axes": [1]})
    mean = file.node("ReduceMean", squares, *given, keepdims=1, **own)
    root = file.node("Sqrt", file.node("Add", mean, file.constant(attrs["eps"])))
    made = (
        file.node("Div", x, root)
        if file.style.written_out
        else file.node("Mul", x, file.node("Reciprocal", root))
    )
    gamma = file.draw(f"{step.name}.gamma", (channels,)).reshape(channels, *[1] * len(pixels))
    return file.node("Mul", file.constant(gamma), made), shapes[0]


def _blur_pool(file: File, step: Any, attrs: Any, sources: Any, shapes: Any, norm: Any) -> Any:
    """Zhang 2019."""
    channels, padding = shapes[0][0], attrs["padding"]
    x = file.node("Pad", sources[0], file.sizes(*[0, 0, padding, padding] * 2), mode="reflect")
    row = np.array({3: [1, 2, 1], 5: [1, 4, 6, 4, 1]}[attrs["kernel"]], float)
    filters = np.tile(np.outer(row, row) / row.sum() ** 2, (channels, 1, 1, 1))
    strides = [attrs["stride"]] * 2
    value = file.node("Conv", x, file.constant(filters), group=channels, strides=strides)
    return value, (channels, *_window(shapes[0], attrs))


def _scale(file: File, step: Any, attrs: Any, sources: Any, shapes: Any, norm: Any) -> Any:
    """A constant or one factor for each channel, behind the features or before: gamma * x."""
    channels, *pixels = shapes[0]
    if attrs.get("value") is not None:
        factor = file.constant(attrs["value"])
    else:
        gamma = file.draw(f"{step.name}.gamma", (channels,))
        batch = [1] * (file.style.written_out and len(pixels) > 0)
        factor = file.constant(gamma.reshape(*batch, channels, *[1] * len(pixels)))
    inputs = (factor, sources[0]) if file.style.written_out else (sources[0], factor)
    return file.node("Mul", *inputs), shapes[0]


def _shuffle(file: File, step: Any, attrs: Any, sources: Any, shapes: Any, norm: Any) -> Any:
    """Zhang 2018."""
    channels, height, width = shapes[0]
    parted = file.sizes(-1, attrs["groups"], channels // attrs["groups"], height, width)
    value = file.node("Transpose", file.node("Reshape", sources[0], parted), perm=[0, 2, 1, 3, 4])
    return file.node("Reshape", value, file.sizes(-1, channels, height, width)), shapes[0]


def _pixel_shuffle(file: File, step: Any, attrs: Any, sources: Any, shapes: Any, norm: Any) -> Any:
    factor, (channels, height, width) = attrs["factor"], shapes[0]
    shape = (channels // factor**2, height * factor, width * factor)
    if file.style.opset >= 11 and not file.style.written_out:
        return file.node("DepthToSpace", sources[0], blocksize=factor, mode="CRD"), shape
    parted = (shape[0], factor, factor, height, width)
    return _moved(file, sources[0], parted, (0, 1, 4, 2, 5, 3), shape), shape


def _pixel_unshuffle(
    file: File, step: Any, attrs: Any, sources: Any, shapes: Any, norm: Any
) -> Any:
    factor, (channels, height, width) = attrs["factor"], shapes[0]
    shape = (channels * factor**2, height // factor, width // factor)
    parted = (channels, shape[1], factor, shape[2], factor)
    return _moved(file, sources[0], parted, (0, 1, 3, 5, 2, 4), shape), shape


def _moved(file: File, x: str, parted: Sequence[int], axes: Any, shape: Sequence[int]) -> str:
    value = file.node("Transpose", file.node("Reshape", x, file.sizes(-1, *parted)), perm=axes)
    return file.node("Reshape", value, file.sizes(-1, *shape))


def _global_max(file: File, step: Any, attrs: Any, sources: Any, shapes: Any, norm: Any) -> Any:
    channels, *pixels = shapes[0]
    if file.style.head == "mean":
        by_input = file.style.opset >= 18
        given, own = ([file.sizes(-1, -2)], {}) if by_input else ([], {"axes": [2, 3]})
        keep = int(attrs.get("keep", False))
        x = file.node("ReduceMax", sources[0], *given, keepdims=keep, **own)
        return x, (channels, 1, 1) if keep else (channels,)
    if file.style.head == "window":
        x = file.node("MaxPool", sources[0], kernel_shape=pixels, strides=pixels)
    else:
        x = file.node("GlobalMaxPool", sources[0])
    return (
        (x, (channels, 1, 1))
        if attrs.get("keep")
        else (_FLAT[file.style.head](file, x), (channels,))
    )


def _upsample(file: File, step: Any, attrs: Any, sources: Any, shapes: Any, norm: Any) -> Any:
    factor, nearest = attrs["factor"], attrs["mode"] == "nearest"
    own = {"coordinate_transformation_mode": "align_corners"} if attrs.get("align_corners") else {}
    if nearest:
        own = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    mode = "nearest" if nearest else "linear"
    value = file.node(
        "Resize", sources[0], "", file.constant([1, 1, factor, factor]), mode=mode, **own
    )
    return value, (shapes[0][0], *(size * factor for size in shapes[0][1:]))


def _same(kind: str) -> Callable[..., Any]:
    return lambda file, step, attrs, sources, shapes, norm: (file.node(kind, *sources), shapes[0])


def _add(file: File, step: Any, attrs: Any, sources: Any, shapes: Any, norm: Any) -> Any:
    """A sign between two; of more a sum."""
    return file.node("Add" if len(sources) == 2 else "Sum", *sources), shapes[0]


WRITERS: Mapping[str, Callable[..., Any]] = {
    "input": _input,
    "conv": _conv,
    "conv_transpose": _conv_transpose,
    "batch_norm": _batch_norm,
    "concat": _concat,
    "max_pool": _pool,
    "avg_pool": _pool,
    "global_avg_pool": _global_pool,
    "dense": _dense,
    "slice": _slice,
    "crop": _crop,
    "shuffle": _shuffle,
    "scale": _scale,
    "layer_norm": _layer_norm,
    "group_norm": _group_norm,
    "blur_pool": _blur_pool,
    "instance_norm": _instance_norm,
    "rms_norm": _rms_norm,
    "pixel_shuffle": _pixel_shuffle,
    "pixel_unshuffle": _pixel_unshuffle,
    "global_max_pool": _global_max,
    "output": _same("Identity"),
    "upsample": _upsample,
    "add": _add,
    "multiply": _same("Mul"),
    **dict.fromkeys(ACTIVATIONS, _activation),
}
"""How exporters write kinds of operators. What is not here is in none of these networks."""


def writer_of(kind: str) -> Callable[..., Any]:
    assert kind in WRITERS, f"WRITERS in {__file__} does not say how exporters write {kind}"
    return WRITERS[kind]


def written(
    steps: Iterable[Any],
    style: Style,
    weights: Mapping[str, Array] | None = None,
    outputs: Sequence[str] = (),
) -> tuple[Any, dict[str, Array]]:
    """Return a network as an `onnx.ModelProto`, and its weights by the oracle's names.

    Weights that are not given are drawn. The network gives what the steps called `outputs` give,
    and then what the last one gives.
    """
    steps, file = list(steps), File(style, dict(weights or {}))
    readers: dict[str, list[Any]] = {}
    for step in steps:
        for source in step.inputs:
            readers.setdefault(source, []).append(step)
    folded = dict[str, str]()
    for step in steps:
        behind = readers.get(step.name, [])
        foldable = (
            style.norm == "folded"
            and step.kind == "conv"
            and [r.kind for r in behind] == ["batch_norm"]
        )
        if step.name not in folded:
            file.add(step, behind[0] if foldable else None)
        if foldable:
            folded[behind[0].name] = step.name
    image, last = steps[0], steps[-1].name
    given, made = (style.batch, *image.attrs["shape"]), (style.batch, *file.shapes[last])
    model = finished(file, image.name, given, file.values[last], made)
    more = [(file.values[name], (style.batch, *file.shapes[name])) for name in outputs]
    given_too = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in more
    ]
    ends = [*given_too, *model.graph.output]
    del model.graph.output[:]
    model.graph.output.extend(ends)
    return model, file.weights


def finished(
    file: File, image: str, shape: Sequence[Any], output: str, out: Sequence[Any] | None = None
) -> Any:
    """Return a file's nodes as an `onnx.ModelProto`, from an image of a shape to an output."""
    given = helper.make_tensor_value_info(image, TensorProto.FLOAT, shape)
    made = helper.make_tensor_value_info(output, TensorProto.FLOAT, out)
    graph = helper.make_graph(file.nodes, "main_graph", [given], [made], file.constants)
    opset = helper.make_opsetid("", file.style.opset)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8, producer_name="pytorch")


def optimised(model: Any, level: str = "BASIC") -> Any:
    """What ONNX Runtime saves of a model:
    constants and norms are folded, and what does nothing is gone.

    The next level, EXTENDED, puts activations into convolutions. Constants that it would multiply
    into weights stay: nothing of them would be left to compare.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = getattr(levels, f"ORT_ENABLE_{level}")
    with TemporaryDirectory() as folder:
        options.optimized_model_filepath = f"{folder}/model.onnx"
        content = model.SerializeToString()
        providers, left = ["CPUExecutionProvider"], ["ConvMulFusion"]
        onnxruntime.InferenceSession(content, options, providers, disabled_optimizers=left)
        return onnx.load(options.optimized_model_filepath)


def run(model: Any, images: Array) -> Array:
    """Return the last output of ONNX Runtime, optimisations left out."""
    return outputs_of(model, images)[-1]


def outputs_of(model: Any, images: Array) -> list[Array]:
    """Return the outputs of ONNX Runtime, optimisations left out."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    content = model if isinstance(model, bytes) else model.SerializeToString()
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images})
