"""Compile a YAML spec of a densely connected network to a verified graph and to MindSpore cells.

>>> from archspec import build_graph, create_model, load_spec, verify
>>> graph = build_graph(load_spec("densenet121"))
>>> verify(graph)
()
>>> network = create_model("densenet121", num_classes=10)
"""

from typing import TYPE_CHECKING, Any

from archspec.errors import ArchspecError, Diagnostic
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph, Op, Region
from archspec.graph.report import Report, report
from archspec.spec.load import load_spec
from archspec.spec.model import Spec
from archspec.verifiers.verify import verify

if TYPE_CHECKING:
    from archspec.writers.mindspore.load import create_model
else:

    def __getattr__(name: str) -> Any:
        """Fetch what needs MindSpore when it is asked for:
        importing the package alone stays quick.
        """
        if name != "create_model":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from archspec.writers.mindspore.load import create_model

        return create_model


__all__ = [
    "ArchspecError",
    "Diagnostic",
    "Graph",
    "Op",
    "Region",
    "Report",
    "Spec",
    "build_graph",
    "create_model",
    "load_spec",
    "report",
    "verify",
]
