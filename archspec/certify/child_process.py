"""The child process of `certify_built`:
`python -m archspec.certify.child_process FOLDER PARENT` with spec.yaml and network.py, and the
number of the process that waits for it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from archspec.certify.certificate import make_certificate
from archspec.compare.compare import compare
from archspec.errors import ArchspecError, ModelFileError
from archspec.files import sha256_of
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph
from archspec.graph.parameters import list_parameters
from archspec.readers.mindir.read import read_mindir
from archspec.runtime import import_mindspore
from archspec.signals import be_killed_with_parent
from archspec.spec.load import load_spec
from archspec.verifiers.verify import verify_or_raise


def main(folder: Path) -> None:
    """Compile and export network.py, read the file back, and write certificate.json."""
    ms = import_mindspore()
    from archspec.writers.mindspore.create_model import import_text
    from archspec.writers.mindspore.export_mindir import export_mindir

    ms.set_device("CPU")
    spec = load_spec(folder / "spec.yaml")
    graph = verify_or_raise(build_graph(spec))
    network = import_text((folder / "network.py").read_text("utf-8"), spec.name).Network()
    _compare_parameters(graph, network)
    file, size = folder / "network.mindir", spec.input
    export_mindir(network, (size.channels, size.height, size.width), file, batch=1)
    found = make_certificate(file, graph, compare(graph, read_mindir(file))).values()
    module = folder / "network.py"  # the exported file goes away with its folder
    found |= {"file": module.name, "sha256": sha256_of(module)}
    (folder / "certificate.json").write_text(json.dumps(found), "utf-8")


def _compare_parameters(graph: Graph, network: Any) -> None:
    """Refuse a network whose parameters are others than the graph's: a file shows only those that
    are computed with, and no names. Raises ModelFileError (R106).
    """
    wanted = {name: tensor.shape for name, tensor in list_parameters(graph).items()}
    found = {tensor.name: tuple(tensor.shape) for tensor in network.get_parameters()}
    differing = sorted({*wanted.items()} ^ {*found.items()})
    if differing:
        name, shape = differing[0]
        lacks = "module" if (name, shape) in wanted.items() else "graph"
        message = f"the {lacks} has no parameter {name} of shape {shape}"
        raise ModelFileError.one("R106", message, graph.name)


def _end_with(parent: int) -> None:
    """Nobody would ask for the certificate any more, and compiling may take minutes."""
    be_killed_with_parent()
    # Who waits may have it blocked (`watch_interrupts`), and a terminal's Ctrl-C is for both.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    if os.getppid() != parent:
        raise SystemExit(1)


if __name__ == "__main__":
    _end_with(int(sys.argv[2]))
    try:
        main(Path(sys.argv[1]))
    except ArchspecError as error:
        sys.stderr.write(f"{error.diagnostics[0]}\n")
        raise SystemExit(1) from None
