"""A trained network as MINDIR: written by MindSpore, certified, and only then there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from archspec.certify.certify_file import certify_file
from archspec.errors import ArchspecError, Diagnostic
from archspec.train.export.export_onnx import told_of
from archspec.train.trained.exported import check_batch, describe_network
from archspec.train.trained.trained import Trained
from archspec.writers.mindspore.export_mindir import export_mindir


def export_certified_mindir(trained: Trained, file: Path, batch: int | None = None) -> int:
    """Write a trained network as MINDIR, in evaluation mode, whole or not at all; return its direct
    connections, read back from the file.

    Raises:
        ArchspecError: W002, the file cannot be written; W004, see `check_batch`; W005, what was
            written is another network.
    """
    check_batch(trained.spec, batch)
    size = trained.spec.input
    shape = (size.channels, size.height, size.width)
    told = describe_network(trained.spec, trained.recipe, trained.classes)
    network = trained.network()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=".export-") as folder:
            draft = Path(folder) / file.name
            with told_of(draft, file):
                export_mindir(network, shape, draft, batch, told)
                connections = _certify(trained, draft)
            os.replace(draft, file)
    except OSError as error:
        message = f"cannot be written: {error.strerror}"
        raise ArchspecError.one("W002", message, str(file)) from None
    return connections


def _certify(trained: Trained, draft: Path) -> int:
    certificate = certify_file(draft, trained.spec)
    faults = []
    for difference in certificate.differences:
        message = f"is not written: {difference.message}"
        faults.append(Diagnostic("W005", message, str(draft)))
    if faults:
        raise ArchspecError(faults)
    return sum(block.edges for block in certificate.comparison.blocks)
