"""A network for evaluation whose norms are folded; see `archspec.rewrites.folding`.

Imports mindspore; call `archspec.runtime.prepare` before.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import nn, ops

from archspec.graph.build import build_graph
from archspec.rewrites.folding import SHIFT, Folding, choose_folding, fold_values
from archspec.spec.spec import Spec
from archspec.train.engine.compile_cache import describe_parts
from archspec.weights.formats.number_types import Floats
from archspec.weights.load_into import load_tensors
from archspec.writers.mindspore.create_model import create_model


class Shift(nn.Cell):  # type: ignore[misc]
    """Adds a number to each channel: what is left of a norm. (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = ms.Parameter(ms.Tensor(np.zeros(channels, np.float32)), name=SHIFT)
        self.add = ops.BiasAdd()

    def construct(self, x: Any) -> Any:
        """Add."""
        return self.add(x, self.shift)


class FoldedNetwork:
    """A network in evaluation mode whose norms are folded, for weights that may change.

    It gives what the emitted one gives but for rounding. An accelerator's compiler has folds of its
    own: there it is the emitted one.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec, self.graph = spec, build_graph(spec)
        self.folding = Folding()
        self.network: Any = None
        self.emitted: list[Any] | None = None

    def is_of(self, network: Any) -> bool:
        """Return whether a network is the spec's still, as it is emitted, whatever its weights."""
        if self.emitted is None:
            self.emitted = describe_parts(create_model(self.spec))
        return describe_parts(network) == self.emitted

    def load(self, tensors: Mapping[str, Floats]) -> Any:
        """Return the network with all tensors of the spec's network, by name.

        It is another one, to be compiled again, only where these weights leave fewer norms to fold
        than any before: one whose scales go to and fro about zero would be compiled each time.
        """
        folding = Folding()
        if ms.get_context("device_target") == "CPU":
            # Of oneDNN on x86 it is known to be faster.
            turns = platform.machine().lower() in ("x86_64", "amd64")
            folding = choose_folding(self.graph, tensors, turns=turns)
        if self.network is not None:
            still = tuple(fold for fold in self.folding.folds if fold in folding.folds)
            folding = replace(folding, folds=still)
        if self.network is None or folding != self.folding:
            self.network, self.folding = create_model(self.spec), folding
            rewrite(self.network, folding)
            self.network.set_train(False)
        load_tensors(self.network, {**tensors, **fold_values(self.graph, folding, tensors)})
        return self.network


def make_folded_network(spec: Spec, tensors: Mapping[str, Floats]) -> Any:
    """Return a network in evaluation mode, with all the tensors of a spec's network by name; see
    `FoldedNetwork`.
    """
    return FoldedNetwork(spec).load(tensors)


def rewrite(network: Any, folding: Folding) -> None:
    """Put the cells in place that compute otherwise; their values are still to be loaded."""
    cells = dict(network.cells_and_names())
    for fold in folding.folds:
        _replace(cells, fold.norm, Shift(cells[fold.norm].num_features))
    for name in folding.turned:
        conv = cells[name]
        kernel, padding = conv.kernel_size[0], conv.padding
        around = padding if isinstance(padding, int) else padding[0]
        turned = nn.Conv2dTranspose(
            conv.in_channels,
            conv.out_channels,
            kernel,
            stride=1,
            pad_mode="pad",
            padding=kernel - 1 - around,
            has_bias=False,
        )
        _replace(cells, name, turned)


def _replace(cells: Mapping[str, Any], name: str, cell: Any) -> None:
    """Put a cell in another one's place, its parameters under the names of that place."""
    parent, _, key = name.rpartition(".")
    owner = cells[parent]
    setattr(owner, key, cell)
    for parameter in cell.get_parameters():
        parameter.name = f"{name}.{parameter.name.rpartition('.')[2]}"
    if isinstance(owner, nn.SequentialCell):  # which keeps a list of its own beside
        owner.cell_list = tuple(owner._cells.values())
