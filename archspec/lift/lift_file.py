"""The spec of the network in a model file: what `densenet lift` writes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from archspec.lift.lift import LiftedSpec, lift
from archspec.readers.frontends import read_model_file
from archspec.spec.load import name_of_file


def lift_file(file: str | Path, name: str | None = None) -> LiftedSpec:
    """Return the spec of a model file, as YAML text; `certify_file` finds both equal.

    Args:
        file: a MINDIR or an ONNX.
        name: the network's; None: the file's.

    Raises:
        EnvironmentFault: E001, MindSpore is not installed, which a MINDIR needs.
        ModelFileError: R005..R008, the file cannot be read; R009, it joins more values than any
            spec may; R108, each thing that the language cannot say.
    """
    path = Path(file)
    reading = read_model_file(path)
    lifted = lift(reading.graph, name_of_file(path) if name is None else name, str(path))
    return replace(lifted, notes=(*reading.notes, *lifted.notes))
