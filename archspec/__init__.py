"""Compile a YAML spec of a densely connected network to a verified graph and to MindSpore cells.

>>> from archspec import build_graph, create_model, load_spec, verify
>>> graph = build_graph(load_spec("densenet121"))
>>> verify(graph)
()
>>> network = create_model("densenet121", num_classes=10)
"""

import importlib
import typing

if typing.TYPE_CHECKING:
    from archspec.certify.certificate import Certificate
    from archspec.certify.certify_file import certify_file
    from archspec.errors import ArchspecError, Diagnostic
    from archspec.graph.build import build_graph
    from archspec.graph.ir import Graph, Op, Region
    from archspec.graph.report import Report, report
    from archspec.lift.lift import LiftedSpec
    from archspec.lift.lift_file import lift_file
    from archspec.spec.load import load_spec
    from archspec.spec.spec import Spec
    from archspec.verifiers.verify import verify
    from archspec.weights.convert import Conversion, convert_file
    from archspec.writers.mindspore.create_model import create_model
else:
    # Fetched when it is asked for: a command, or a module of the package, imports what it needs.
    _ON_DEMAND = {
        "ArchspecError": "archspec.errors",
        "Certificate": "archspec.certify.certificate",
        "Conversion": "archspec.weights.convert",
        "Diagnostic": "archspec.errors",
        "Graph": "archspec.graph.ir",
        "LiftedSpec": "archspec.lift.lift",
        "Op": "archspec.graph.ir",
        "Region": "archspec.graph.ir",
        "Report": "archspec.graph.report",
        "Spec": "archspec.spec.spec",
        "build_graph": "archspec.graph.build",
        "certify_file": "archspec.certify.certify_file",
        "convert_file": "archspec.weights.convert",
        "create_model": "archspec.writers.mindspore.create_model",
        "lift_file": "archspec.lift.lift_file",
        "load_spec": "archspec.spec.load",
        "report": "archspec.graph.report",
        "verify": "archspec.verifiers.verify",
    }

    def __getattr__(name: str) -> typing.Any:
        """Fetch what is offered and not imported yet."""
        if name not in _ON_DEMAND:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_ON_DEMAND[name]), name)


__all__ = [
    "ArchspecError",
    "Certificate",
    "Conversion",
    "Diagnostic",
    "Graph",
    "LiftedSpec",
    "Op",
    "Region",
    "Report",
    "Spec",
    "build_graph",
    "certify_file",
    "convert_file",
    "create_model",
    "lift_file",
    "load_spec",
    "report",
    "verify",
]


def __dir__() -> list[str]:
    """Offer what there is to import, fetched or not."""
    return __all__
