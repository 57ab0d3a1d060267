"""How each kind of operator is written in MindSpore: a cell that holds state, or a function call.

Arguments whose defaults MindSpore has announced to change (momentum, pad_mode, stride, p) are always written
out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from archspec.graph.ir import Op
from archspec.spec.steps import same_padding

# Cells: what stands behind `self.NAME = `. {ins} and {outs} are widths, {norm} the name of the module's own
# function for such a norm, the rest the operator's attributes.
CELLS: Mapping[str, str] = {
    "conv": "conv({ins}, {outs}, {kernel}{unusual})",
    "conv_transpose": (
        "nn.Conv2dTranspose({ins}, {outs}, {kernel}, stride={stride}, "
        'pad_mode="pad", padding={padding}, has_bias={bias})'
    ),
    "batch_norm": "{norm}({ins})",
    "layer_norm": "{norm}({ins})",
    "group_norm": "{norm}({ins})",
    "max_pool": "nn.MaxPool2d({kernel}, stride={stride}, {pad}{ceiling})",
    "avg_pool": "nn.AvgPool2d({kernel}, stride={stride}, {pad}{ceiling})",
    "blur_pool": "BlurPool({ins}, {kernel}, {stride}, {padding})",
    "prelu": "nn.PReLU({ins}, {slope})",
    "dropout": "nn.Dropout(p={rate})",
    "dense": "nn.Dense({ins}, {outs}, has_bias={bias})",
    "slice": "Slice({start}, {stop})",
    "crop": "Crop({size}, {corner})",
}

# Functions: what an operator without state is called as; {x} is its input, or its inputs with commas.
FUNCTIONS: Mapping[str, str] = {
    "relu": "ops.relu({x})",
    "relu6": "ops.relu6({x})",
    "silu": "ops.silu({x})",
    "gelu": 'ops.gelu({x}, approximate="none")',
    "hard_swish": "ops.hardswish({x})",
    "leaky_relu": "ops.leaky_relu({x}, {slope})",
    "sigmoid": "ops.sigmoid({x})",
    "hard_sigmoid": "ops.hardsigmoid({x})",
    "concat": "ops.concat(({x}), 1)",
    "global_avg_pool": "ops.mean({x}, (2, 3){keeping})",
    "shuffle": "ops.channel_shuffle({x}, {groups})",
    "upsample": 'ops.interpolate({x}, scale_factor={factor}.0, mode="{mode}", recompute_scale_factor=True)',
    "output": "{x}",
}

OPERATIONS: Mapping[str, str] = {"add": " + ", "multiply": " * "}
"""Operators that Python has signs for."""

# Functions and classes that the emitted module defines for itself, so that an operator fits on a line.
CONV = '''\
def conv(in_channels, out_channels, kernel_size, stride=1):
    """A convolution without bias, padded so that a stride of 1 keeps H and W."""
    return nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        pad_mode="pad",
        padding=kernel_size // 2,
        has_bias=False,
    )
'''

CONV_OF_ALL_KINDS = '''\
def conv(
    in_channels,
    out_channels,
    kernel_size,
    stride=1,
    padding=None,
    dilation=1,
    groups=1,
    bias=False,
):
    """A convolution; without `padding`, a stride of 1 keeps H and W."""
    return nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        pad_mode="pad",
        padding=dilation * (kernel_size - 1) // 2 if padding is None else padding,
        dilation=dilation,
        group=groups,
        has_bias=bias,
    )
'''

NORMS: Mapping[str, str] = {
    "batch_norm": '''\
def {name}(channels):
    """Batch normalisation; momentum is the share of the old statistics that stays."""
    return nn.BatchNorm2d(channels, eps={eps}, momentum={momentum})
''',
    "group_norm": '''\
def {name}(channels):
    """Normalisation over {groups} groups of channels."""
    return nn.GroupNorm({groups}, channels, eps={eps})
''',
    "layer_norm": '''\
class {name}(nn.LayerNorm):
    """Normalisation over the channels of each pixel, (N, C, H, W) -> (N, C, H, W), or of a vector, (N, C)."""

    def __init__(self, channels):
        super().__init__((channels,), epsilon={eps})

    def construct(self, x):
        if x.ndim == 2:
            return super().construct(x)
        x = super().construct(ops.transpose(x, (0, 2, 3, 1)))
        return ops.transpose(x, (0, 3, 1, 2))
''',
}
NORM_NAMES: Mapping[str, str] = {
    "batch_norm": "norm",
    "group_norm": "group_norm",
    "layer_norm": "LayerNorm2d",
}

SLICE = '''\
class Slice(nn.Cell):
    """Channels `start` to `stop`, the latter left out."""

    def __init__(self, start, stop):
        super().__init__()
        self.start, self.stop = start, stop

    def construct(self, x):
        return x[:, self.start : self.stop]
'''

CROP = '''\
class Crop(nn.Cell):
    """A cutout of `size` (rows, columns), its upper left pixel at `corner`."""

    def __init__(self, size, corner):
        super().__init__()
        self.top, self.left = corner
        self.bottom, self.right = corner[0] + size[0], corner[1] + size[1]

    def construct(self, x):
        return x[:, :, self.top : self.bottom, self.left : self.right]
'''

BLUR_POOL = '''\
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


CELLS_OF_OUR_OWN: Mapping[str, str] = {"slice": SLICE, "crop": CROP, "blur_pool": BLUR_POOL}
TAKEN = frozenset({"Network", "OrderedDict", "Tensor", "Slice", "Crop", "BlurPool"})
"""Names that no class of a container may have."""

VARYING = ("in_channels", "out_channels", "channels", "start", "stop", "size")
"""Attributes in which operators of one class may differ: they become its parameters."""


def helpers(ops: Iterable[Op]) -> tuple[list[str], dict[tuple[str, ...], str]]:
    """Return the functions and classes that a module of these operators needs, and what its norms are called."""
    ops = list(ops)
    convs = [op for op in ops if op.kind == "conv"]
    texts = [CONV_OF_ALL_KINDS if any(_unusual(op, "") for op in convs) else CONV] if convs else []
    kinds = {op.kind for op in ops}
    texts += [text for kind, text in CELLS_OF_OUR_OWN.items() if kind in kinds]
    names: dict[tuple[str, ...], str] = {}
    for op in ops:
        if op.kind in NORMS and norm_key(op) not in names:
            base = NORM_NAMES[op.kind]
            same = sum(name.startswith(base) for name in names.values())
            names[norm_key(op)] = f"{base}{same + 1}" if same else base
            texts.append(NORMS[op.kind].format(name=names[norm_key(op)], **op.attrs))
    return texts, names


def norm_key(op: Op) -> tuple[str, ...]:
    """Return what norms have in common that one function can make."""
    return (
        op.kind,
        *(f"{key}={value}" for key, value in sorted(op.attrs.items()) if key != "channels"),
    )


def cell(op: Op, ins: str, outs: str, norms: Mapping[tuple[str, ...], str], **varying: str) -> str:
    """Return the expression that makes the operator's cell.

    `ins` and `outs` are its widths, and `varying` other attributes, as they are to be written.
    """
    padding = op.attrs.get("padding", 0)
    values = {
        "bias": op.kind == "dense",
        **{
            key: value
            for key, value in op.attrs.items()
            if key not in ("in_channels", "out_channels")
        },
        **varying,
        "ins": ins,
        "outs": outs,
        "norm": norms.get(norm_key(op), ""),
        "pad": f'pad_mode="pad", padding={padding}'
        if padding or op.attrs.get("ceil")
        else 'pad_mode="valid"',
        "ceiling": ", ceil_mode=True" if op.attrs.get("ceil") else "",
        "unusual": _stride(op) + _unusual(op, ins) if op.kind == "conv" else "",
    }
    return CELLS[op.kind].format(**values)


def _stride(op: Op) -> str:
    return f", stride={op.attrs['stride']}" if op.attrs["stride"] != 1 else ""


def _unusual(op: Op, ins: str) -> str:
    """The arguments of a convolution that most do not have."""
    attrs = op.attrs
    kernel, dilation, groups = attrs["kernel"], attrs.get("dilation", 1), attrs.get("groups", 1)
    usual = same_padding(kernel, dilation)
    given = {
        "padding": attrs["padding"] if attrs["padding"] != usual else None,
        "dilation": dilation if dilation != 1 else None,
        "groups": (ins if is_depthwise(op) else groups) if groups != 1 else None,
        "bias": True if attrs.get("bias") else None,
    }
    return "".join(f", {name}={value}" for name, value in given.items() if value is not None)


def is_depthwise(op: Op) -> bool:
    """Return whether a convolution filters each channel by itself."""
    return bool(op.kind == "conv" and op.attrs.get("groups", 1) == op.attrs["in_channels"] > 1)


def call(op: Op, local_name: str, inputs: list[str]) -> str:
    """Return the expression that runs the operator on expressions for its inputs."""
    if op.kind in OPERATIONS:
        return OPERATIONS[op.kind].join(inputs)
    joined = ", ".join(inputs)
    if op.kind not in FUNCTIONS:
        return f"self.{local_name}({joined})"
    keeping = ", True" if op.attrs.get("keep") else ""
    return FUNCTIONS[op.kind].format(**op.attrs, x=joined, keeping=keeping)
