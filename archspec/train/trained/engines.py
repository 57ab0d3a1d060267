"""What runs an exported network: ONNX Runtime, OpenVINO, or MindSpore."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from archspec.errors import ArchspecError, ModelFileError
from archspec.operators.shape_rules import Shape
from archspec.readers.mindir.decode import read_model
from archspec.readers.mindir.loadable import check_loadable
from archspec.runtime import (
    as_the_user_set_it,
    import_mindspore,
    import_onnx_runtime,
    import_openvino,
)

EngineName = Literal["onnxruntime", "openvino", "mindspore"]
ENGINES: Mapping[str, tuple[EngineName, ...]] = {
    ".onnx": ("onnxruntime", "openvino"),
    ".mindir": ("mindspore",),
}
"""By what a file's name ends in; the first is taken where none is named."""
MAX_REASON = 200
_OTHER_ENGINE = "--engine openvino: ONNX Runtime has not all operators on CPUs, none of bfloat16"
PLACE_OF_OPENVINO = "Exception from "
"""Behind it stand lines of its code, and then what is wrong."""

Values = npt.NDArray[np.float32]
Run = Callable[[Values], list[Values]]


class ExportedNetwork:
    """An exported network that is called like one of MindSpore's."""

    def __init__(self, run: Run, batch: int | None) -> None:
        self.run = run
        self.batch = batch
        """Images at once that the file is fixed to; None: any number."""
        self.reads_images = False
        """Whether it prepares images itself, (N, H, W, C) uint8."""

    def set_train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, in which it was exported."""
        return self

    def __call__(self, images: Any) -> Any:
        """Return the output (N, classes, ...) for images (N, C, H, W) as a Tensor, or a tuple of
        several.
        """
        from mindspore import Tensor

        outputs = tuple(map(Tensor, self.compute(images.asnumpy())))
        return outputs if len(outputs) > 1 else outputs[0]

    def compute(self, images: Values) -> list[Values]:
        """Return all outputs for images (N, C, H, W)."""
        if self.batch is None:
            return self.run(images)
        made = []
        for start in range(0, len(images), self.batch):
            part = images[start : start + self.batch]
            made.append(self.run(np.resize(part, (self.batch, *part.shape[1:]))))
        return [np.concatenate(outputs)[: len(images)] for outputs in zip(*made, strict=True)]


class ImageNetwork(ExportedNetwork):
    """One that prepares images itself and gives probabilities; logits are told of those."""

    def __init__(self, network: ExportedNetwork, *, are_independent: bool) -> None:
        super().__init__(network.run, network.batch)
        self.reads_images = True
        self.are_independent = are_independent
        """Each class has a probability of its own."""

    def __call__(self, images: Any) -> Any:
        """Return logits (N, classes) for images (N, H, W, C) of uint8, as a Tensor."""
        from mindspore import Tensor

        # Of a probability that float32 rounds to 0 or 1 the logit would be no number.
        precise = np.finfo(np.float32)
        shares = self.compute(images.asnumpy())[0].clip(precise.tiny, 1 - precise.epsneg)
        logits = np.log(shares)
        if self.are_independent:
            logits -= np.log1p(-shares)
        return Tensor(logits)


def load_network(file: Path, engine: EngineName) -> ExportedNetwork:
    """Return an ONNX as a network that an engine runs on the CPU, or a MINDIR, which MindSpore runs
    on its device.

    Raises:
        EnvironmentFault: E001, E009, the engine is not installed.
        ModelFileError: R006, it does not take the file, now or when it runs; see `check_loadable`.
    """
    with _explain(file, engine):
        network = _LOAD[engine](file)
    run = network.run

    def explained(images: Values) -> list[Values]:
        with _explain(file, engine):
            return run(images)

    network.run = explained
    return network


@contextmanager
def _explain(file: Path, engine: EngineName) -> Iterator[None]:
    try:
        yield
    except ArchspecError:
        raise
    except Exception as error:  # those of the engines have no class in common
        lines = [line.strip() for line in str(error).splitlines()]
        told = [line for line in lines if line and not line.startswith(PLACE_OF_OPENVINO)]
        reason = (told or [type(error).__name__])[0][:MAX_REASON]
        cure = _OTHER_ENGINE if "NOT_IMPLEMENTED" in reason else ""
        raise ModelFileError.one("R006", f"{engine}: {reason}", str(file), cure) from None


def check_outputs(network: ExportedNetwork, file: Path, shapes: Sequence[Shape]) -> None:
    """Have a network look at what it gives, which is to be of these shapes for each image; else it
    raises ModelFileError (R004).
    """
    run = network.run

    def checked(images: Values) -> list[Values]:
        made = run(images)
        wanted = [(len(images), *shape) for shape in shapes]
        if [each.shape for each in made] != wanted:
            given = ", ".join(str(each.shape) for each in made)
            message = (
                f"gives {given} for {len(images)} images, not what the network that it names does"
            )
            raise ModelFileError.one("R004", message, str(file))
        return made

    network.run = checked


def _load_in_onnx_runtime(file: Path) -> ExportedNetwork:
    runtime = import_onnx_runtime()
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    (reads,) = session.get_inputs()
    first = reads.shape[0]
    batch = first if isinstance(first, int) else None
    return ExportedNetwork(lambda images: list(session.run(None, {reads.name: images})), batch)


def _load_in_openvino(file: Path) -> ExportedNetwork:
    openvino = import_openvino()
    # It would take half precision where the machine has that: results are to be those of the file.
    precise = {"INFERENCE_PRECISION_HINT": "f32"}
    with as_the_user_set_it():
        model = openvino.Core().compile_model(str(file), "CPU", precise)
    (reads,) = model.inputs
    first = reads.partial_shape[0]
    batch = None if first.is_dynamic else first.get_length()
    has_answered = not reads.partial_shape.is_dynamic

    def run(images: Values) -> list[Values]:
        nonlocal has_answered
        # Of a file that prepares images of any size itself the first answer is wrong (2026.4).
        if not has_answered:
            model([images])
            has_answered = True
        return [*model([images]).values()]

    return ExportedNetwork(run, batch)


def _load_in_mindspore(file: Path) -> ExportedNetwork:
    model = read_model(file)
    check_loadable(model, file)
    ms = import_mindspore()
    network = ms.nn.GraphCell(ms.load(str(file)))

    def run(images: Values) -> list[Values]:
        given = network(ms.Tensor(images))
        outputs = given if isinstance(given, tuple) else (given,)
        return [each.asnumpy() for each in outputs]

    ((_, (first, *_)),) = model.main.inputs
    return ExportedNetwork(run, first if first > 0 else None)


_LOAD: Mapping[EngineName, Callable[[Path], ExportedNetwork]] = {
    "onnxruntime": _load_in_onnx_runtime,
    "openvino": _load_in_openvino,
    "mindspore": _load_in_mindspore,
}
