"""How each kind of operator is written in MindSpore: a cell that holds state, or a function call.

Arguments whose defaults MindSpore has announced to change (momentum, pad_mode, stride, p) are always written
out.
"""

from __future__ import annotations

from collections.abc import Mapping

from archspec.graph.ir import Op

# Cells: what stands behind `self.NAME = `. {ins} and {outs} are widths, the rest the operator's attributes.
CELLS: Mapping[str, str] = {
    "conv": "conv({ins}, {outs}, {kernel}{stride_argument})",
    "batch_norm": "norm({ins})",
    "max_pool": "nn.MaxPool2d({kernel}, stride={stride}, {pad})",
    "avg_pool": "nn.AvgPool2d({kernel}, stride={stride}, {pad})",
    "dropout": "nn.Dropout(p={rate})",
    "dense": "nn.Dense({ins}, {outs}, has_bias=True)",
}

# Functions: what an operator without state is called as; {x} is its input, or its inputs with commas.
FUNCTIONS: Mapping[str, str] = {
    "relu": "ops.relu({x})",
    "relu6": "ops.relu6({x})",
    "silu": "ops.silu({x})",
    "gelu": 'ops.gelu({x}, approximate="none")',
    "hard_swish": "ops.hardswish({x})",
    "concat": "ops.concat(({x}), 1)",
    "global_avg_pool": "ops.mean({x}, (2, 3))",
}

# Functions that the emitted module defines for itself, so that a convolution fits on a line.
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

NORM = '''\
def norm(channels):
    """Batch normalisation; momentum is the share of the old statistics that stays."""
    return nn.BatchNorm2d(channels, eps={eps}, momentum={momentum})
'''


def cell(op: Op, ins: str, outs: str) -> str:
    """Return the expression that makes the operator's cell; `ins` and `outs` are its widths as written."""
    stride = op.attrs.get("stride", 1)
    padding = op.attrs.get("padding", 0)
    pad = f'pad_mode="pad", padding={padding}' if padding else 'pad_mode="valid"'
    stride_argument = f", stride={stride}" if stride != 1 else ""
    attrs = {key: value for key, value in op.attrs.items() if key not in ("in_channels", "out_channels")}
    return CELLS[op.kind].format(ins=ins, outs=outs, pad=pad, stride_argument=stride_argument, **attrs)


def call(op: Op, local_name: str, inputs: list[str]) -> str:
    """Return the expression that runs the operator on expressions for its inputs."""
    joined = ", ".join(inputs)
    if op.kind in FUNCTIONS:
        return FUNCTIONS[op.kind].format(x=joined)
    return f"self.{local_name}({joined})"
