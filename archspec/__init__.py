"""Compile a YAML spec of a densely connected network to a verified graph and to MindSpore cells.

>>> from archspec import build_graph, create_model, load_spec, verify
>>> graph = build_graph(load_spec("densenet121"))
>>> verify(graph)
()
>>> network = create_model("densenet121", num_classes=10)
"""

from archspec.errors import ArchspecError, Diagnostic
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph, Op, Region
from archspec.passes.report import Report, report
from archspec.passes.verify import verify
from archspec.spec.load import load_spec
from archspec.spec.model import Spec

__all__ = [
    "ArchspecError",
    "Diagnostic",
    "Graph",
    "Op",
    "Region",
    "Report",
    "Spec",
    "build_graph",
    "load_spec",
    "report",
    "verify",
]
