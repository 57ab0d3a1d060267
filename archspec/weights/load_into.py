"""Weights into a network that MindSpore has made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archspec.weights.formats.number_types import Floats


def load_tensors(network: Any, tensors: Mapping[str, Floats]) -> None:
    """Give a MindSpore network the tensors, by name; what they leave out stays as it is."""
    import mindspore as ms

    for parameter in network.get_parameters():
        if parameter.name in tensors:
            parameter.set_data(ms.Tensor(tensors[parameter.name], parameter.dtype))
