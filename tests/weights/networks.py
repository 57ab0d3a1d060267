"""Weights of networks as other people's files hold them."""

from __future__ import annotations

import re

import numpy as np

from archspec.graph.build import build_graph
from archspec.graph.parameters import Parameter, parameters
from archspec.spec.load import load_spec

SUFFIXES = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def parameters_of(spec: str, *overrides: str) -> dict[str, Parameter]:
    return parameters(build_graph(load_spec(spec, overrides)))


def weights_of(spec: str, *overrides: str, seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights by our names; variances are positive."""
    rng = np.random.default_rng(seed)
    shapes = {name: parameter.shape for name, parameter in parameters_of(spec, *overrides).items()}
    drawn = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    variances = {n: np.abs(array) for n, array in drawn.items() if n.endswith("_variance")}
    return {**drawn, **variances}


def own_name(name: str) -> str:
    """`dense1.0.bn1.weight`, `trans1.bn.bias`, `stem.conv.weight`, `fc.bias`:
    as somebody might call ours, in torch.
    """
    head, _, last = name.rpartition(".")
    last = SUFFIXES.get(last, last)
    head = head.removeprefix("features.").replace("classifier", "fc")
    head = re.sub(
        r"denseblock(\d+)\.denselayer(\d+)", lambda f: f"dense{f[1]}.{int(f[2]) - 1}", head
    )
    head = head.replace("transition", "trans").replace("norm", "bn")
    head = {"conv0": "stem.conv", "bn0": "stem.bn", "bn5": "last"}.get(head, head)
    return f"{head}.{last}"


OWN_RULES = r"""
- 'stem\.conv\.weight': features.conv0.weight
- 'stem\.bn\.(\w+)': 'features.norm0.{1}'
- 'dense(\d+)\.(\d+)\.bn(\d)\.(\w+)': 'features.denseblock{1}.denselayer{2+1}.norm{3}.{4}'
- 'dense(\d+)\.(\d+)\.conv(\d)\.weight': 'features.denseblock{1}.denselayer{2+1}.conv{3}.weight'
- 'trans(\d+)\.bn\.(\w+)': 'features.transition{1}.norm.{2}'
- 'trans(\d+)\.conv\.weight': 'features.transition{1}.conv.weight'
- 'last\.(\w+)': 'features.norm5.{1}'
- 'fc\.(weight|bias)': 'classifier.{1}'
"""
"""To torchvision's names, which are then recognised."""


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    """Bit for bit, and in the same order."""
    return list(one) == list(other) and all(
        one[name].tobytes() == other[name].tobytes() for name in one
    )
