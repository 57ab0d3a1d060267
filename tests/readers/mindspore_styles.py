"""Networks as people write them by hand in MindSpore,
made from the steps of `onnx_styles`: the text of a module.

What a style is: how feature maps are joined, whether cells are nested,
and which of MindSpore's forms say the rest.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from readers.onnx_styles import Array, File, Step
from readers.onnx_styles import Style as Drawing


@dataclass(frozen=True)
class Style:
    """How a network is written."""

    joins: str
    """`each layer` joins two at a time, `once` all in one call,
    `lists` appends to a list that is joined."""
    pooled: str
    """The average over all pixels, as (N, C), of {x}."""
    nested: bool = False
    """Chains of steps are cells of their own, activations too,
    and joins are in the cell that reads them."""
    pads: bool = False
    """An nn.Pad before each padded pool that takes the largest."""
    batch: int | None = 2


STYLES: Mapping[str, Style] = {
    "each layer": Style("each layer", "{x}.mean((2, 3))"),
    "once per block": Style("once", "ops.mean({x}, (2, 3))", batch=None),
    "lists": Style("lists", "ops.flatten(ops.adaptive_avg_pool2d({x}, 1))"),
    "mindcv": Style(
        "lists", "nn.SequentialCell(nn.AdaptiveAvgPool2d(1), nn.Flatten())", nested=True, pads=True
    ),
}

HEADER = '''"""A network."""

from mindspore import nn, ops


class Joined(nn.Cell):
    def __init__(self, *cells):
        super().__init__()
        self.body = nn.SequentialCell(*cells)

    def construct(self, features):
        return self.body(ops.concat(features, axis=1))


class Softplus(nn.Cell):
    def __init__(self, beta):
        super().__init__()
        self.beta = beta

    def construct(self, x):
        return ops.softplus(x, self.beta)


class Net(nn.Cell):
    def __init__(self):
        super().__init__()
{cells}

    def construct(self, x):
{lines}
        return {last}
'''

# As a function of x, and as a cell.
ACTIVATIONS: Mapping[str, tuple[str, str]] = {
    "relu": ("ops.relu({x})", "nn.ReLU()"),
    "relu6": ("ops.relu6({x})", "nn.ReLU6()"),
    "silu": ("ops.silu({x})", "nn.SiLU()"),
    "gelu": ("ops.gelu({x})", "nn.GELU(approximate=False)"),
    "hard_swish": ("ops.hardswish({x})", "nn.HSwish()"),
    "leaky_relu": ("ops.leaky_relu({x}, {slope})", "nn.LeakyReLU({slope})"),
    "sigmoid": ("ops.sigmoid({x})", "nn.Sigmoid()"),
    "hard_sigmoid": ("ops.hardsigmoid({x})", "nn.HSigmoid()"),
    "elu": ("ops.elu({x}, {alpha})", "nn.ELU({alpha})"),
    "mish": ("ops.mish({x})", "nn.Mish()"),
    "tanh": ("ops.tanh({x})", "nn.Tanh()"),
    "softplus": ("ops.softplus({x}, {beta})", "Softplus({beta})"),
    "hard_tanh": ("ops.hardtanh({x}, {low}, {high})", "nn.Hardtanh({low}, {high})"),
}


@dataclass
class Text:
    """A network's text in the making."""

    style: Style
    cells: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    values: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    """The step whose weights each cell has, by the cell's name in the network."""
    joined: dict[tuple[str, ...], str] = field(default_factory=dict)
    listed: list[str] = field(default_factory=list)

    def assign(self, step: Step, expression: str) -> None:
        self.values[step.name] = step.name.replace(".", "_")
        self.lines.append(f"{self.values[step.name]} = {expression}")

    def cell(self, step: Step, expression: str) -> str:
        """Add a cell, and return what calls it."""
        name = step.name.replace(".", "_")
        self.cells.append(f"self.{name} = {expression}")
        self.places[name] = step.name
        return f"self.{name}"

    def join(self, step: Step) -> str:
        """Return what joins the inputs of a step."""
        values = [self.values[name] for name in step.inputs]
        if self.style.joins == "once":
            return f"ops.concat(({', '.join(values)},), 1)"
        if self.style.joins == "lists":
            return f"ops.concat({self.list_of(step.inputs)}, 1)"
        known = self.joined.get(step.inputs[:-1])
        made, *others = [known, values[-1]] if known else values
        for other in others:
            made = f"ops.concat(({made}, {other}), 1)"
        self.joined[step.inputs] = step.name.replace(".", "_")
        return made

    def list_of(self, inputs: Sequence[str]) -> str:
        """Append to the list that there is, or begin another."""
        if not self.listed or self.listed != [*inputs[: len(self.listed)]]:
            self.listed = [inputs[0]]
            self.lines.append(f"features = [{self.values[inputs[0]]}]")
        for name in inputs[len(self.listed) :]:
            self.listed.append(name)
            self.lines.append(f"features.append({self.values[name]})")
        return "features"


CELLS: Mapping[str, str] = {
    "conv": "nn.Conv2d({channels}, {out_channels}, {kernel}, {stride}, pad_mode='pad', "
    "padding={padding}, "
    "dilation={dilation}, group={groups}, has_bias={bias})",
    "batch_norm": "nn.BatchNorm2d({channels}, eps={eps})",
    "dense": "nn.Dense({channels}, {out_channels})",
    "max_pool": "nn.MaxPool2d({kernel}, {stride}{pads})",
    "avg_pool": "nn.AvgPool2d({kernel}, {stride}{pads})",
    **{kind: cell for kind, (_, cell) in ACTIVATIONS.items()},
}


def cell_of(step: Step, channels: int, style: Style) -> str:
    """Return the text of the cell of a step that reads so many channels."""
    attrs = {"bias": False, "groups": 1, "dilation": 1, "pads": "", **step.attrs}
    if step.kind == "global_avg_pool":
        return style.pooled
    padding = attrs.get("padding", 0)
    if step.kind == "max_pool" and padding and style.pads:
        pad = f"nn.Pad(((0, 0), (0, 0), ({padding}, {padding}), ({padding}, {padding})))"
        return f"nn.SequentialCell({pad}, {CELLS[step.kind].format(**attrs)})"
    if padding:
        attrs["pads"] = f", pad_mode='pad', padding={padding}"
    is_known = step.kind in CELLS
    assert is_known, f"CELLS in {__file__} does not say how people write {step.kind} in MindSpore"
    return CELLS[step.kind].format(channels=channels, **attrs)


def widths_of(steps: Sequence[Step]) -> dict[str, int]:
    """Channels of each step's output."""
    widths: dict[str, int] = {}
    for step in steps:
        given = step.attrs["shape"][0] if step.kind == "input" else step.attrs.get("out_channels")
        widths[step.name] = given or sum(widths[name] for name in step.inputs)
    return widths


def chains_of(steps: Sequence[Step]) -> Iterator[list[Step]]:
    """Runs of steps, each of which alone reads the one before, and nothing else."""
    readers = [name for step in steps for name in step.inputs]
    chain: list[Step] = []
    for step in steps:
        goes_on = chain and step.inputs == (chain[-1].name,) and readers.count(chain[-1].name) == 1
        if chain and not (
            goes_on and step.kind != "concat" and chain[-1].kind not in ("input", "conv")
        ):
            yield chain
            chain = []
        chain.append(step)
    yield chain


def written(steps: Sequence[Step], style: Style) -> tuple[str, dict[str, str]]:
    """Return a network's text, and the step whose weights each cell has,
    by the cell's name in the network.
    """
    text, widths = Text(style), widths_of(steps)
    if style.nested:
        text.cells.append("self.stages = nn.CellList()")
    text.values[steps[0].name] = "x"
    for chain in chains_of(steps) if style.nested else ([step] for step in steps):
        if chain[0].kind != "input":
            (_nested if style.nested else _flat)(text, chain, widths)
    body = {"cells": text.cells, "lines": text.lines}
    indented = {
        name: "\n".join(f"        {line}" for line in lines) for name, lines in body.items()
    }
    return HEADER.format(**indented, last=text.values[steps[-1].name]), text.places


def _flat(text: Text, chain: Sequence[Step], widths: Mapping[str, int]) -> None:
    (step,) = chain
    x = text.values[step.inputs[0]]
    if step.kind == "concat":
        text.assign(step, text.join(step))
    elif step.kind in ACTIVATIONS:
        text.assign(step, ACTIVATIONS[step.kind][0].format(x=x, **step.attrs))
    elif step.kind == "global_avg_pool":
        text.assign(step, text.style.pooled.format(x=x))
    else:
        text.assign(
            step, f"{text.cell(step, cell_of(step, widths[step.inputs[0]], text.style))}({x})"
        )


def _nested(text: Text, chain: Sequence[Step], widths: Mapping[str, int]) -> None:
    first, last = chain[0], chain[-1]
    joins, number = first.kind == "concat", sum("stages.append" in line for line in text.cells)
    made = chain[1:] if joins else chain
    if not made:
        text.assign(last, text.join(first))
        return
    cells = ", ".join(cell_of(step, widths[step.inputs[0]], text.style) for step in made)
    text.cells.append(f"self.stages.append({'Joined' if joins else 'nn.SequentialCell'}({cells}))")
    place = f"stages.{number}.body" if joins else f"stages.{number}"
    text.places |= {f"{place}.{at}": step.name for at, step in enumerate(made)}
    given = text.list_of(first.inputs) if joins else text.values[first.inputs[0]]
    text.assign(last, f"self.stages[{number}]({given})")


def network(
    steps: Sequence[Step], style: Style, path: Path, weights: Mapping[str, Array] | None = None
) -> Any:
    """Write a network's text to a file, and return the network in evaluation mode;
    weights not given are drawn.
    """
    import mindspore as ms

    text, places = written(steps, style)
    path.write_text(text)
    made = _module(path).Net().set_train(False)
    drawn = File(Drawing(), dict(weights or {}))
    for name, parameter in made.parameters_and_names():
        place, _, role = name.rpartition(".")
        value = drawn.draw(f"{places[place]}.{role}", parameter.shape)
        if value.shape != parameter.shape:
            raise ValueError(f"{name} of shape {value.shape}")
        parameter.set_data(ms.Tensor(np.ascontiguousarray(value)))
    return made


def _module(path: Path) -> Any:
    """A module of its own for each file, under a name of its own:
    MindSpore imports it again by that name.
    """
    name = f"written_by_hand_{next(_NUMBERS)}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_NUMBERS = count()


def run(made: Any, images: Array) -> Array:
    """Return the output of MindSpore, operator by operator."""
    import mindspore as ms

    return made(ms.Tensor(images)).asnumpy()


def exported(made: Any, style: Style, shape: Sequence[int], path: Path) -> Path:
    """Write the file that MindSpore itself makes of a network."""
    import mindspore as ms

    image = ms.Tensor(shape=[style.batch, *shape], dtype=ms.float32)
    if style.batch:
        image = ms.ops.zeros((style.batch, *shape), ms.float32)
    ms.export(made, image, file_name=str(path), file_format="MINDIR")
    return path.with_suffix(".mindir")
