"""MINDIR, MindSpore's own model file: what MindSpore Lite and the Ascend tools take."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archspec.errors import ArchspecError
from archspec.mindspore_versions import fill_map


def export_mindir(
    network: Any,
    shape: tuple[int, int, int],
    target: Path,
    batch: int | None = None,
    told: Mapping[str, str] | None = None,
) -> None:
    """Write a network that reads (N, *shape) as MINDIR, in evaluation mode;
    N is free unless `batch` is given. Parent folders are made.

    `told` are texts by name that stand in the file, as its `user_info`.

    Raises:
        ArchspecError: W002, the file cannot be written; nothing half-written is left.
    """
    import mindspore as ms

    # ms.export does not do it: batch norm would be exported in training mode.
    network.set_train(False)
    example = ms.Tensor(shape=[batch, *shape], dtype=ms.float32)
    if batch:
        example = ms.ops.zeros((batch, *shape), ms.float32)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as folder:
            with _pools_of_known_rank(network):
                ms.export(
                    network,
                    example,
                    file_name=str(Path(folder) / "model"),
                    file_format="MINDIR",
                    custom_func=lambda model: fill_map(model.user_info, told or {}),
                )
            made = Path(folder) / "model.mindir"
            made.chmod(0o644)  # MindSpore writes 0400
            os.replace(made, target)
    except OSError as error:
        raise ArchspecError.one(
            "W002", f"cannot be written: {error.strerror}", str(target)
        ) from None


@contextmanager
def _pools_of_known_rank(network: Any) -> Iterator[None]:
    """Put an equal cell in the place of every padded max pool.

    MindSpore's own forgets the rank of its output where the batch is free; the batch norm behind it
    then leads to a file that can be loaded but never run.
    """
    from mindspore import nn

    padded = []
    for _, parent in network.cells_and_names():
        pools = [(n, c) for n, c in parent.name_cells().items() if isinstance(c, nn.MaxPool2d)]
        padded += [(parent, name, pool) for name, pool in pools if pool.use_pad]
    try:
        for parent, name, pool in padded:
            setattr(parent, name, _max_pool(pool))
        yield
    finally:
        for parent, name, pool in padded:
            setattr(parent, name, pool)


def _max_pool(pool: Any) -> Any:
    """Return a cell that computes what a padded `nn.MaxPool2d` does,
    and says the shape of its output.
    """
    from mindspore import nn, ops

    # MindSpore pads by a pool of three dimensions, of which the first has one plane.
    _, kernel, _ = pool.max_pool.ksize
    _, stride, _ = pool.max_pool.strides
    _, padding, _ = pool.max_pool.pads
    ceil = pool.max_pool.ceil_mode

    def pixels(size: Any) -> Any:
        if not ceil:
            return (size + 2 * padding - kernel) // stride + 1
        # A window that would start beyond the image and its left border is left out.
        return min(-(-(size + 2 * padding - kernel) // stride), (size + padding - 1) // stride) + 1

    class MaxPool(nn.Cell):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.max_pool = pool.max_pool

        def construct(self, x: Any) -> Any:
            height, width = pixels(x.shape[2]), pixels(x.shape[3])
            pooled, _ = self.max_pool(ops.expand_dims(x, 2))
            return ops.reshape(pooled, (-1, x.shape[1], height, width))

    return MaxPool()
