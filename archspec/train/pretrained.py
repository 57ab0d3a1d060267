"""Weights to begin with: another file's,
with a fresh head where its number of classes is another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from archspec.errors import ModelFileError
from archspec.graph.build import build_graph
from archspec.graph.parameters import list_parameters
from archspec.spec.spec import Spec
from archspec.train.run.run_directory import Run
from archspec.weights.convert import convert_file
from archspec.weights.formats.checkpoint_digest import DAMAGED
from archspec.weights.formats.number_types import Floats
from archspec.weights.formats.weight_files import read_tensors


@dataclass(frozen=True)
class InitialWeights:
    """Tensors by our names, without those that start fresh, and a line that says which."""

    tensors: Mapping[str, Floats]
    note: str


def read_initial_weights(file: Path, spec: Spec, ema: bool = False) -> InitialWeights:
    """Return the weights of a file, in any naming that `convert` knows, for the network of a spec.

    With `ema` they are the file's moving averages of weights. Without, they are the plain ones, and
    averages where there are no others; the note says which.

    Raises:
        ModelFileError: R001..R003, R010..R013; all but the classifier must fit. R110, weights
            that are no numbers.
    """
    found = convert_file(file, spec, any_classes=True, ema=ema)
    shapes = {
        name: parameter.shape for name, parameter in list_parameters(build_graph(spec)).items()
    }
    kept = {name: tensor for name, tensor in found.tensors.items() if tensor.shape == shapes[name]}
    fresh = [name for name in found.tensors if name not in kept]
    head = "all its tensors"
    if fresh:
        theirs = found.tensors[fresh[0]].shape[0]
        head = f"a fresh classifier of {spec.head.num_classes} classes (the file has {theirs})"
    note = f"begins with {file} ({found.kind}, {found.naming}) and {head}"
    return InitialWeights(kept, "; ".join((note, *found.adaptations)))


def read_kept_weights(run: Run) -> Mapping[str, Floats]:
    """Return the weights that a run begins with, none where they are drawn.

    Raises:
        ModelFileError: R001, R002; the file is not the one that the run was made with.
    """
    digest = run.settings.initial_digest
    if digest is None and not run.initial.is_file():
        return {}
    tensors = read_tensors(run.initial)
    if digest not in (None, sha256(run.initial.read_bytes()).hexdigest()):
        hint = "nothing is trained yet: start the run anew"
        raise ModelFileError.one("R002", DAMAGED, str(run.initial), hint)
    return tensors
