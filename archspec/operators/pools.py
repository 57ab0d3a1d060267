"""Pools: over windows, over windows with a fixed filter, and over all pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, model_validator
from typing_extensions import Self

from archspec.operators import pool_nodes as nodes
from archspec.operators.attributes import Attrs, Widths, always
from archspec.operators.file_node import Feature, FileNode, Read
from archspec.operators.language_step import Step
from archspec.operators.mindspore_writing import MindSpore
from archspec.operators.operator import Operator
from archspec.operators.shape_rules import NoPixelLeft, Shape, expect_map, window_pixels
from archspec.settings import Flag, Padding, SpecModel, Stride, Window, broken_rule, refuse_bool


class PoolStep(SpecModel):
    """Pooling over windows."""

    kernel: Window
    """Pixels of the square window."""
    stride: Stride
    """Pixels from window to window."""
    padding: Padding = 0
    """Pixels on each side."""
    ceil: Flag = False
    """Whether a window that reaches over the edge counts."""

    @model_validator(mode="after")
    def _check_padding(self) -> Self:
        """As PyTorch has it: a window beyond the edge would hold nothing but padding."""
        if self.padding > self.kernel // 2:
            rule = f"must be at most half of kernel (={self.kernel})"
            raise broken_rule("padding", f"padding (={self.padding}) {rule}")
        return self


class BlurPoolStep(SpecModel):
    """A fixed binomial filter with reflected edges (Zhang 2019), which shrinks by its stride."""

    kernel: Annotated[Literal[3, 5], BeforeValidator(refuse_bool)] = 3
    """Pixels of the filter."""
    stride: Stride = 2
    """Pixels from window to window."""


class GlobalPoolStep(SpecModel):
    """The mean or the maximum over all pixels."""

    kind: Literal["avg", "max"] = "avg"
    """Whether it is the mean or the maximum."""
    keep: Flag = False
    """Whether the result stays a feature map, (N, C, 1, 1), instead of (N, C)."""


def _pool_attrs(pool: PoolStep, ins: int, known: Widths) -> Attrs:
    attrs = {"kernel": pool.kernel, "stride": pool.stride, "padding": pool.padding}
    return {**attrs, "ceil": True} if pool.ceil else attrs


def blur_padding(kernel: int, stride: int) -> int:
    """Return the pixels that a blur mirrors at each edge: the middle stays in the middle."""
    return (stride - 1 + kernel - 1) // 2


def _blur_attrs(blur: BlurPoolStep, ins: int, known: Widths) -> Attrs:
    padding = blur_padding(blur.kernel, blur.stride)
    return {"kernel": blur.kernel, "stride": blur.stride, "padding": padding}


def _global_attrs(pool: GlobalPoolStep, ins: int, known: Widths) -> Attrs:
    return {"keep": True} if pool.keep else {}


def _pool_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    return (inputs[0][0], *window_pixels(attrs, inputs[0]))


def _blur_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    """Edges are mirrored: there must be more pixels than are mirrored at each."""
    shape = _pool_shape(attrs, inputs)
    if min(inputs[0][1:]) <= attrs["padding"]:
        raise NoPixelLeft(
            f"mirrors {attrs['padding']} at each edge of {inputs[0][1]} x {inputs[0][2]} pixels; "
            "must be fewer than there are"
        )
    return shape


def _global_shape(attrs: Attrs, inputs: Sequence[Shape]) -> Shape:
    channels = expect_map(inputs[0])[0]
    return (channels, 1, 1) if attrs.get("keep") else (channels,)


def _is_of_one_pixel(attrs: Attrs, channels: int) -> bool:
    return bool(attrs["kernel"] == attrs["stride"] == 1 and attrs["padding"] == 0)


def _adds_no_zeros(attrs: Attrs) -> bool:
    return not attrs["padding"]


def _padding_and_ceil(attrs: Attrs, ins: str) -> Mapping[str, str]:
    # MindSpore has announced other defaults of pad_mode and stride: both are always written.
    if not (attrs["padding"] or attrs.get("ceil")):
        return {"pad": 'pad_mode="valid"', "ceiling": ""}
    pad = f'pad_mode="pad", padding={attrs["padding"]}'
    return {"pad": pad, "ceiling": ", ceil_mode=True" if attrs.get("ceil") else ""}


def _keeping(attrs: Attrs, ins: str) -> Mapping[str, str]:
    return {"keeping": ", True" if attrs.get("keep") else ""}


_BLUR_POOL = '''\
class BlurPool(nn.Cell):
    """A fixed binomial filter with reflected edges (Zhang 2019), which shrinks by its stride."""

    def __init__(self, channels, kernel_size, stride, padding):
        super().__init__()
        row = {3: (1, 2, 1), 5: (1, 4, 6, 4, 1)}[kernel_size]
        square = [[a * b / sum(row) ** 2 for a in row] for b in row]
        self.filters = Tensor([[square]] * channels, mindspore.float32)
        self.pads = (padding,) * 4
        self.channels, self.stride = channels, stride

    def construct(self, x):
        x = ops.pad(x, self.pads, mode="reflect")
        return ops.conv2d(x, self.filters, stride=self.stride, groups=self.channels)
'''


def _read_max_pool(node: FileNode) -> Feature | None:
    """A window that is the whole map is a pool over all pixels."""
    x = node.padded_map(is_maximum=True)
    return None if node.covers(x) else node.pool("max_pool", x)


def _read_avg_pool(node: FileNode) -> Feature:
    """The zeros of a padding count."""
    x = node.padded_map()
    if node.leaves_padding_out():
        node.refuse("leaves its padding out of the average")
    return node.pool("avg_pool", x)


def _read_maximum_of_map(node: FileNode) -> Feature | None:
    x = node.padded_map(is_maximum=True)
    shape = (*x.shape[:2], 1, 1)
    return node.op("global_max_pool", [x], shape, keep=True) if node.covers(x) else None


def _read_blur(node: FileNode) -> Feature | None:
    """The binomial filter for each channel, behind a padding that mirrors the edges."""
    return node.blur("blur_pool") if node.mirrors_edges() else None


def _over_all_pixels(kind: str) -> Read:
    return lambda node: node.global_pool(kind)


def _reducing(kind: str) -> Read:
    """Reads what takes dimensions away, where these are the pixels."""
    return lambda node: node.reduce_pixels(kind)


def _read_adaptive_pool(node: FileNode) -> Feature:
    if node.size("output_size", 1) != 1:
        node.refuse("pools to more than one pixel")
    return node.global_pool("global_avg_pool")


_WINDOW = ("kernel", "stride", "padding")
_SAID = {name: name for name in (*_WINDOW, "ceil")}


def _over_windows(kind: str, cell: str, **own: Any) -> Operator:
    text = f"nn.{cell}({{kernel}}, stride={{stride}}, {{pad}}{{ceiling}})"
    return Operator(
        kind,
        _pool_shape,
        MindSpore(cell=text, arguments=_padding_and_ceil),
        family="pool",
        required=_WINDOW,
        defaults={"ceil": False},
        untold=frozenset({"ceil"}),
        is_idle=_is_of_one_pixel,
        resizes=True,
        keeps_sign=True,
        keeps_logits=True,
        step=Step(
            kind,
            PoolStep,
            _pool_attrs,
            base="pool",
            said=_SAID,
            note="`padding` at most half of `kernel`; `ceil: true`: a window over the edge counts",
        ),
        **own,
    )


_GLOBAL = Step(
    "global_pool",
    GlobalPoolStep,
    _global_attrs,
    base="pool",
    said={"keep": "keep"},
    kinds={"avg": "global_avg_pool", "max": "global_max_pool"},
    note="mean or maximum (`max`) over all pixels: (N, C), or with keep (N, C, 1, 1)",
)


def _over_all(kind: str, function: str, **own: Any) -> Operator:
    text = f"ops.{function}({{x}}, (2, 3){{keeping}})"
    return Operator(
        kind,
        _global_shape,
        MindSpore(call=text, arguments=_keeping, is_inline=True),
        defaults={"keep": False},
        keeps_one_pixel=always,
        resizes=True,
        keeps_sign=True,
        keeps_logits=True,
        step=_GLOBAL,
        **own,
    )


ROWS = (
    _over_windows(
        "max_pool",
        "MaxPool2d",
        keeps_one_pixel=always,
        over_whole_map="global_max_pool",
        is_read_as_whole=True,
        mindir={
            **dict.fromkeys(("MaxPool", "MaxPool3D"), _read_max_pool),
            "MaxPool3DWithArgmax": lambda node: (_read_max_pool(node), None),
        },
        onnx={"MaxPool": _read_max_pool},
        write_onnx=nodes.write_max_pool,
    ),
    _over_windows(
        "avg_pool",
        "AvgPool2d",
        keeps_one_pixel=_adds_no_zeros,
        over_whole_map="global_avg_pool",
        mindir=dict.fromkeys(("AvgPool", "AvgPool3D"), _read_avg_pool),
        onnx={"AveragePool": _read_avg_pool},
        write_onnx=nodes.write_avg_pool,
    ),
    Operator(
        "blur_pool",
        _blur_shape,
        MindSpore(
            cell="{name}({ins}, {kernel}, {stride}, {padding})",
            definition=_BLUR_POOL,
            name="BlurPool",
        ),
        family="pool",
        required=_WINDOW,
        folds_scale=True,
        resizes=True,
        keeps_sign=True,
        keeps_logits=True,
        step=Step(
            "blur_pool",
            BlurPoolStep,
            _blur_attrs,
            base="pool",
            said={"kernel": "kernel", "stride": "stride"},
            note="fixed binomial filter of 3 or 5 pixels, edges mirrored",
        ),
        mindir={"Conv2D": _read_blur},
        onnx={"Conv": _read_blur},
        write_onnx=nodes.write_blur,
    ),
    _over_all(
        "global_avg_pool",
        "mean",
        other_names=(
            "gap",
            "adaptive_avg_pool",
            "adaptive_avg_pool2d",
            "avg_global_pool",
            "global_average_pool",
            "global_average_pooling2d",  # Keras
            "global_mean_pool",
        ),
        mindir={
            "ReduceMean": _reducing("global_avg_pool"),
            "AdaptiveAvgPool2D": _read_adaptive_pool,
        },
        onnx={
            "GlobalAveragePool": _over_all_pixels("global_avg_pool"),
            "ReduceMean": _reducing("global_avg_pool"),
        },
        write_onnx=nodes.over_all_pixels("GlobalAveragePool"),
    ),
    _over_all(
        "global_max_pool",
        "amax",
        other_names=(
            "gmp",
            "adaptive_max_pool",
            "adaptive_max_pool2d",
            "max_global_pool",
            "global_max_pooling2d",  # Keras
        ),
        over_one_pixel="global_avg_pool",
        mindir={"ReduceMax": _reducing("global_max_pool"), "MaxPool": _read_maximum_of_map},
        onnx={
            "GlobalMaxPool": _over_all_pixels("global_max_pool"),
            "ReduceMax": _reducing("global_max_pool"),
            "MaxPool": _read_maximum_of_map,
        },
        write_onnx=nodes.over_all_pixels("GlobalMaxPool"),
    ),
)
