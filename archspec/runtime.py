"""What must hold before MindSpore is imported: its environment variables. Which packages there
are, and where the cache is.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

from archspec.errors import EnvironmentFault
from archspec.mindspore_versions import find_wanted, welcome_old_messages

MAX_REASON = 300
_SET_FOR_MINDSPORE: dict[str, str] = {}
"""What `prepare` has put into the environment that others read too."""


def prepare() -> None:
    """Set the environment that MindSpore reads at import; call it before.
    What the user has set wins.

    Raises EnvironmentFault (E001) where MindSpore is not installed.
    """
    if importlib.util.find_spec("mindspore") is None:
        cure = f"pip install 'mindspore{find_wanted()}' on Python 3.10, 3.11 or 3.12"
        raise EnvironmentFault.one("E001", "MindSpore is not installed", sys.executable, cure)
    # With AVX-512 oneDNN runs 3x3 convolutions of plain layout in a reference kernel, 20 to 80
    # times slower.
    chosen_by_user = {"ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"} & os.environ.keys()
    if platform.machine().lower() in ("x86_64", "amd64") and not chosen_by_user:
        _SET_FOR_MINDSPORE["ONEDNN_MAX_CPU_ISA"] = "AVX2"
        os.environ.update(_SET_FOR_MINDSPORE)
    # Errors only: MindSpore warns dozens of times in a healthy run.
    os.environ.setdefault("GLOG_v", "3")
    welcome_old_messages()


def import_mindspore() -> Any:
    """Import MindSpore now, and return it.

    Raises EnvironmentFault (E001) where it is not installed, or cannot be imported: a library of
    CANN's may be missing, or another file may bear its name.
    """
    prepare()
    try:
        return importlib.import_module("mindspore")
    except Exception as error:  # its libraries raise what they like
        lines = str(error).strip().splitlines() or [type(error).__name__]
        message = f"MindSpore is installed and cannot be imported: {lines[0][:MAX_REASON]}"
        cure = "python -c 'import mindspore' shows all of it, densenet doctor whether CANN fits"
        raise EnvironmentFault.one("E001", message, sys.executable, cure) from None


@contextmanager
def import_mindspore_meanwhile() -> Iterator[None]:
    """Import MindSpore, which takes two seconds, while the block waits for something else.

    Raises EnvironmentFault (E001) at once where it is not installed; what else is wrong with it
    `import_mindspore` tells.
    """
    prepare()
    thread = Thread(target=_try_to_import)
    thread.start()
    try:
        yield
    finally:
        thread.join()  # an interpreter that ends in the middle of it would crash


def _try_to_import() -> None:
    with suppress(Exception):
        importlib.import_module("mindspore")


@contextmanager
def as_the_user_set_it() -> Iterator[None]:
    """Take back for a while what was set for MindSpore's oneDNN: OpenVINO has one of its own, which
    reads the same variable, once, and is slower for it.
    """
    held = {}
    for name, value in _SET_FOR_MINDSPORE.items():
        if os.environ.get(name) == value:
            held[name] = os.environ.pop(name)
    try:
        yield
    finally:
        os.environ.update(held)


def import_onnx_runtime() -> Any:
    """Return the package that runs ONNX models. Raises EnvironmentFault (E009)."""
    return _import_optional("onnxruntime", "runs ONNX models", "onnxruntime")


def import_quantiser() -> Any:
    """Return ONNX Runtime's quantiser, which comes with it. Raises EnvironmentFault (E009)."""
    return _import_optional("onnxruntime.quantization", "quantises ONNX models", "onnxruntime")


def import_openvino() -> Any:
    """Return another package that runs ONNX models. Raises EnvironmentFault (E009)."""
    return _import_optional("openvino", "runs ONNX models", "openvino")


def import_tensorboard() -> Any:
    """Return the package that writes TensorBoard's event files. Raises EnvironmentFault (E009)."""
    use = "writes event files (`tensorboard: true`)"
    return _import_optional("tensorboardX", use, "'densenet-archspec[tensorboard]'")


def import_opencv() -> Any:
    """Return the package that prepares training images quickly. Raises EnvironmentFault (E009)."""
    use = "prepares training images (`data.image_backend: opencv`)"
    wanted = "'densenet-archspec[opencv]'"
    cv2 = _import_optional("cv2", use, wanted)
    if hasattr(cv2, "IMREAD_COLOR_RGB"):
        return cv2
    message = f"cv2, which {use}, is {cv2.__version__}, older than 4.11"
    raise EnvironmentFault.one("E009", message, sys.executable, f"pip install {wanted}")


def _import_optional(name: str, use: str, wanted: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        message = f"{name}, which {use}, is not installed"
        raise EnvironmentFault.one(
            "E009", message, sys.executable, f"pip install {wanted}"
        ) from None


def cache_folder() -> Path:
    """Return `DENSENET_CACHE`, else `densenet-archspec` in `XDG_CACHE_HOME` or in `~/.cache`.

    Raises:
        EnvironmentFault: E008, the user has no home folder, and the environment names no other.
    """
    own, xdg = os.environ.get("DENSENET_CACHE"), os.environ.get("XDG_CACHE_HOME", "")
    if own:
        return Path(os.path.expanduser(own)).absolute()
    parent = xdg if os.path.isabs(xdg) else os.path.expanduser("~/.cache")
    if not os.path.isabs(parent):
        raise EnvironmentFault.one(
            "E008", "there is no home folder for the cache", hint="set DENSENET_CACHE to a folder"
        )
    return Path(parent) / "densenet-archspec"
