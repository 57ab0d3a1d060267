"""A trained network as plain code: its module, and beside it a checkpoint of its weights."""

from __future__ import annotations

from keyword import iskeyword
from pathlib import Path

from archspec.certify.built_network import certify_built, summarize_certificate
from archspec.errors import ArchspecError
from archspec.files import write_atomic
from archspec.graph.build import build_graph
from archspec.train.trained.trained import Trained
from archspec.verifiers.verify import verify_or_raise
from archspec.weights.formats.weight_files import write_tensors
from archspec.writers.mindspore.module import MAKER, write_module


def export_python(trained: Trained, file: Path) -> str:
    """Write the module of MindSpore cells that `file` names, and `NAME.ckpt`, which fits its
    `Network`; return what the certificate says of it.

    Neither needs this package. Parent folders are made.

    Raises:
        ArchspecError: W002, they cannot be written, or would replace code or a checkpoint that no
            export wrote; W003, the file's name is none that Python imports; see `certify_built`.
    """
    _check_names(trained, file)
    graph = verify_or_raise(build_graph(trained.spec))
    module = write_module(graph)
    certificate = certify_built(trained.spec, graph, module)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Weights first: a module without them would look whole.
        write_tensors(weights_beside(file), trained.read_tensors())
        write_atomic(file, module)
    except OSError as error:
        message = f"cannot be written: {error.strerror}"
        raise ArchspecError.one("W002", message, str(file)) from None
    return summarize_certificate(certificate)


def _check_names(trained: Trained, file: Path) -> None:
    if not file.stem.isidentifier() or iskeyword(file.stem):
        cure = "letters, digits and _, such as my_net.py"
        raise ArchspecError.one("W003", "is no name that Python imports", str(file), cure)
    if file.is_file() and MAKER not in file.read_text("utf-8", "replace").partition("\n")[0]:
        message = "exists, and no export has written it"
        raise ArchspecError.one("W002", message, str(file), "-o names another module")
    beside = weights_beside(file)
    if not beside.exists():
        return
    # That of a module that was exported before may go, and no other: nobody has named it.
    if not file.exists() or beside.samefile(trained.checkpoint):
        message = "exists, and is not overwritten"
        raise ArchspecError.one("W002", message, str(beside), "-o names another module")


def weights_beside(file: Path) -> Path:
    """Return where the weights of a module lie."""
    return file.with_suffix(".ckpt")
