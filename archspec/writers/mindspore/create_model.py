"""The emitted text imported: the live network is the module that `build` saves, line for line.

This is the one place that runs text as code,
and only text that our own writer made from a checked graph.
"""

from __future__ import annotations

import atexit
import sys
import tempfile
from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

from archspec.errors import GraphError, SpecError
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph
from archspec.runtime import import_mindspore
from archspec.spec.head import HeadSpec
from archspec.spec.load import spec_of, validate
from archspec.spec.reading.document import Document, shorten_value
from archspec.spec.spec import Spec
from archspec.verifiers.verify import verify_or_raise
from archspec.writers.mindspore.initial_values import USUAL, Initialisation
from archspec.writers.mindspore.module import write_module
from archspec.writers.mindspore.names import find_name_faults


def create_model(
    spec: str | Path | Spec,
    num_classes: int | None = None,
    overrides: Iterable[str] | Mapping[str, Any] = (),
    initialisation: Initialisation = USUAL,
) -> Any:
    """Return a `mindspore.nn.Cell` that maps images (N, C, H, W) to logits (N, num_classes).

    Args:
        spec: a shipped name, a path or a Spec.
        num_classes: replaces the spec's `head.num_classes`.
        overrides: as for `load_spec`, where `spec` is a name or a path.
        initialisation: how the convolutions start, as `Recipe.initialisation` says it.

    Raises:
        SpecError: the spec breaks a rule.
        GraphError: its graph does.
        EnvironmentFault: MindSpore is not installed.
    """
    spec = spec_of(spec, overrides)
    if num_classes is not None:
        head = Document({**spec.head.model_dump(), "num_classes": num_classes})
        spec = spec.model_copy(update={"head": validate(HeadSpec, head)})
    return create_network(verify_or_raise(build_graph(spec)), initialisation)


def create_network(graph: Graph, initialisation: Initialisation = USUAL) -> Any:
    """Return the network of a verified graph, with fresh initial values.

    Raises:
        SpecError: S005, no known initialisation.
        GraphError: W003, a name of the graph cannot stand in Python text,
            or is one that every cell has.
        EnvironmentFault: MindSpore is not installed.
    """
    if initialisation not in get_args(Initialisation):
        rule = f"initialisation (={shorten_value(initialisation)}) must be one of"
        known = " or ".join(map(repr, get_args(Initialisation)))
        raise SpecError.one("S005", f"{rule} {known}")
    nn = import_mindspore().nn

    if faults := find_name_faults(
        graph, frozenset(dir(nn.Cell()))
    ):  # of the version that is installed
        raise GraphError(faults)
    module = import_text(write_module(graph), graph.name)
    network = module.Network()
    if initialisation != USUAL:
        module.initialise(network, initialisation)
    return network


def import_text(text: str, name: str) -> ModuleType:
    """Import emitted text as a module of its own.

    MindSpore's compiler asks for the source of what it compiles,
    by way of `sys.modules` and a real file.
    """
    digest = sha256(text.encode()).hexdigest()[:16]
    module_name = f"archspec_emitted_{digest}"
    if module_name in sys.modules:
        return sys.modules[module_name]
    file = _make_folder() / f"{name}_{digest}.py"
    file.write_text(text)
    module = ModuleType(module_name)
    module.__file__ = str(file)
    sys.modules[module_name] = module
    try:
        # Our own text, see above.
        exec(compile(text, str(file), "exec"), module.__dict__)  # noqa: S102
    except BaseException:
        # An import of MindSpore that fails or is interrupted: nothing half-made stays behind.
        del sys.modules[module_name]
        raise
    return module


@cache
def _make_folder() -> Path:
    """Where the text lies for MindSpore's compiler and for tracebacks,
    as long as the process lives.
    """
    folder = tempfile.TemporaryDirectory(prefix="archspec-")
    atexit.register(folder.cleanup)
    return Path(folder.name)
