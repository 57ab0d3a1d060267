"""What `densenet build` saves: the resolved spec, the report, the module."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from archspec.errors import ArchspecError
from archspec.files import to_yaml, write_atomic
from archspec.graph.build import build_graph
from archspec.graph.digest import digest_with_names, structure_digest
from archspec.graph.ir import Graph
from archspec.graph.report import report
from archspec.spec.idle_settings import without_idle_settings
from archspec.spec.spec import Spec
from archspec.verifiers.verify import verify_or_raise
from archspec.writers.mindspore.module import write_module

Certificate = Mapping[str, Any]


def build_folder(
    spec: Spec, folder: Path, certify: Callable[[Spec, Graph, str], Certificate] | None = None
) -> tuple[int, Certificate | None]:
    """Write `spec.yaml`, `report.json` and `network.py` into a folder,
    and `certificate.json` if one is asked for.

    Returns the module's lines, and the certificate.

    Raises:
        GraphError: the spec's graph breaks a rule; nothing is written.
        ArchspecError: W002, the folder cannot be written.
    """
    graph = verify_or_raise(build_graph(spec))
    module = write_module(graph)
    # Before anything is written: a network that cannot be certified leaves no folder behind.
    certificate = certify(spec, graph, module) if certify else None
    digests = {
        "structure_digest": structure_digest(graph),
        "named_digest": digest_with_names(graph),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / "spec.yaml", to_yaml(without_idle_settings(spec)))
        write_atomic(
            folder / "report.json", json.dumps(report(graph).as_json() | digests, indent=2) + "\n"
        )
        write_atomic(folder / "network.py", module)
        if certificate is not None:
            write_atomic(folder / "certificate.json", json.dumps(certificate, indent=2) + "\n")
    except OSError as error:
        raise ArchspecError.one(
            "W002", f"cannot be written: {error.strerror}", str(folder)
        ) from None
    return module.count("\n"), certificate
