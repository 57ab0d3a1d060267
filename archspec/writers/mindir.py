"""MINDIR, MindSpore's own model file: what MindSpore Lite and the Ascend tools take."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from archspec.errors import ArchspecError


def export_mindir(network: Any, shape: tuple[int, int, int], target: Path, batch: int | None = None) -> None:
    """Write a network that reads (N, *shape) as MINDIR, in evaluation mode; N is free unless `batch` is given.

    Raises:
        ArchspecError: W002, the file cannot be written; nothing half-written is left.
    """
    import mindspore as ms

    network.set_train(False)  # ms.export does not do it: batch norm would be exported in training mode
    example = ms.Tensor(shape=[batch, *shape], dtype=ms.float32)
    if batch:
        example = ms.ops.zeros((batch, *shape), ms.float32)
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as folder:
            ms.export(network, example, file_name=str(Path(folder) / "model"), file_format="MINDIR")
            made = Path(folder) / "model.mindir"
            made.chmod(0o644)  # MindSpore writes 0400
            os.replace(made, target)
    except OSError as error:
        raise ArchspecError.one("W002", f"cannot be written: {error.strerror}", str(target)) from None
