"""Of which networks weights are published."""

from __future__ import annotations

from math import prod

from archspec.errors import DownloadError
from archspec.graph.build import build_graph
from archspec.graph.parameters import list_parameters
from archspec.spec.identity import comparable_values
from archspec.spec.load import load_spec
from archspec.spec.spec import Spec
from archspec.weights.published import PUBLISHED


def find_published_for(spec: Spec) -> str:
    """Return the name of the published checkpoint that fits a spec's network but for its head.

    Filters of colours fit grey images too, see `archspec.weights.grey_stem`.

    Raises:
        DownloadError: N001, none does.
    """
    for name in PUBLISHED:
        published = load_spec(name)
        if comparable_values(published) == comparable_values(_with_channels_of(published, spec)):
            return name
    message = f"there are no published weights of this network, {spec.name}"
    if spec.name in PUBLISHED:
        message = f"{spec.name} is published, but of another network than this one"
    what = f"it is {spec.description[:200]}; " if spec.description else ""
    cure = f"{what}published: {', '.join(PUBLISHED)}; --init-from and --ckpt take weights of yours"
    raise DownloadError.one("N001", message, hint=cure)


def _with_channels_of(published: Spec, spec: Spec) -> Spec:
    """The spec of a grey network as that of colour images."""
    if spec.input.channels != 1:
        return spec
    images = spec.input.model_copy(update={"channels": published.input.channels})
    return spec.model_copy(update={"input": images})


def estimate_bytes(name: str) -> int:
    """Return about how large the published file of that name is: four bytes a number."""
    parameters = list_parameters(build_graph(load_spec(name))).values()
    return 4 * sum(prod(parameter.shape) for parameter in parameters)
