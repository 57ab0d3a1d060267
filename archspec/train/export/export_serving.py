"""A trained network as a model server loads it: an ONNX in a model repository, with what Triton or
OpenVINO Model Server wants to know of it.

    DIR/NAME/1/model.onnx       for both
    DIR/NAME/config.pbtxt       for Triton, and labels.txt, names of classes
    DIR/config.json             for OpenVINO Model Server: a list of all its models
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from archspec.errors import ArchspecError, make_printable, name_first
from archspec.files import write_atomic
from archspec.train.export.export_onnx import OnnxExport, export_onnx, told_of
from archspec.train.export.onnx_form import IN_FLOAT32, OnnxForm
from archspec.train.trained.trained import Trained

if TYPE_CHECKING:
    from onnx import ModelProto

Server = Literal["triton", "ovms"]
FILE = "1/model.onnx"
"""Of the first version."""
CONFIG, OVMS_CONFIG = "config.pbtxt", "config.json"
MAX_BYTES = 2**24
"""Of a list of models."""


def export_serving(
    trained: Trained,
    folder: Path,
    server: Server,
    *,
    data_dir: Path | None = None,
    form: OnnxForm = IN_FLOAT32,
) -> OnnxExport:
    """Write a trained network, by its spec's name, into a folder of models; see `export_onnx`.

    A model of that name that was written so is replaced, and others are left alone.

    Raises:
        ArchspecError: W002, the folder cannot be written, or something else has the model's place;
            see `export_onnx`.
        EnvironmentFault: see `export_onnx`.
    """
    from archspec.writers.onnx.model_servers import write_ovms_config

    name = trained.spec.name
    place = folder / name
    _check_is_ours(place)
    entries = _list_models(folder / OVMS_CONFIG, name) if server == "ovms" else []
    with _drafts_in(folder) as drafts:
        draft = drafts / name
        with told_of(draft, place):
            found = export_onnx(trained, draft / FILE, data_dir=data_dir, form=form)
        if server == "triton" or (place / CONFIG).exists():  # one folder may be for both
            _describe_for_triton(draft, name, trained.classes)
        _put_in_place(draft, place, drafts / "replaced")
        if server == "ovms":
            write_atomic(folder / OVMS_CONFIG, write_ovms_config(entries))
    return found


@contextmanager
def _drafts_in(folder: Path) -> Iterator[Path]:
    """Give a folder in another, which is made; one that stays empty goes again.

    Raises ArchspecError (W002) where it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".export-") as drafts:
            yield Path(drafts)
    except OSError as error:
        message = f"cannot be written: {error.strerror}"
        raise ArchspecError.one("W002", message, str(folder)) from None
    finally:
        with suppress(OSError):  # it holds something
            folder.rmdir()


def _describe_for_triton(draft: Path, name: str, classes: tuple[str, ...]) -> None:
    from archspec.writers.onnx.model_servers import LABELS, write_triton_config

    model = _load(draft / FILE)
    (draft / CONFIG).write_text(write_triton_config(model, name, classes), "utf-8")
    if classes:
        lines = "".join(f"{make_printable(each)}\n" for each in classes)
        (draft / LABELS).write_text(lines, "utf-8")


def _put_in_place(draft: Path, place: Path, aside: Path) -> None:
    """Put a model where it is to be, and what lies there aside."""
    if place.exists():
        os.rename(place, aside)
    try:
        os.rename(draft, place)
    except OSError:
        if aside.exists():
            os.rename(aside, place)
        raise


def _load(file: Path) -> ModelProto:
    import onnx

    return onnx.load(file, load_external_data=False)


def _check_is_ours(place: Path) -> None:
    """Raise ArchspecError (W002) where something lies that was not written here."""
    if not os.path.lexists(place):
        return
    if not _is_ours(place):
        message = "exists, and is no model that export has written"
        raise ArchspecError.one("W002", message, str(place), "-o names another folder")
    others = _list_others(place)
    if others:
        message = f"would be replaced, and holds what export has not written: {name_first(others)}"
        cure = "move that elsewhere, or -o names another folder"
        raise ArchspecError.one("W002", message, str(place), cure)


def _is_ours(place: Path) -> bool:
    """Whether a folder holds an ONNX of ours, and no configuration of others."""
    from archspec.writers.onnx.model_servers import SIGNATURE

    if place.is_symlink() or not (place / FILE).is_file():
        return False
    with suppress(Exception):  # protobuf's own has no class that all versions have
        config = place / CONFIG
        if config.exists() and not config.read_text("utf-8").startswith(SIGNATURE):
            return False
        return _load(place / FILE).producer_name == "densenet-archspec"
    return False


def _list_others(place: Path) -> list[str]:
    """What is not written with a model."""
    from archspec.writers.onnx.model_servers import LABELS
    from archspec.writers.onnx.onnx_files import data_file_of

    known = {FILE, str(data_file_of(Path(FILE))), str(Path(FILE).parent), CONFIG, LABELS}
    held = {make_printable(str(file.relative_to(place))) for file in place.rglob("*")}
    return sorted(held - known)


def _list_models(file: Path, name: str) -> list[Mapping[str, Any]]:
    """What OpenVINO Model Server is to serve: what it serves already, and a new model.

    Raises ArchspecError (W002) where a file lists something else, or another model of that name.
    """
    from archspec.writers.onnx.model_servers import list_for_ovms

    own = list_for_ovms(name)
    if not os.path.lexists(file):
        return [own]
    listed: Any = None
    with suppress(OSError, ValueError, RecursionError):
        if file.stat().st_size <= MAX_BYTES:
            listed = json.loads(file.read_text("utf-8"))
    entries = listed.get("model_config_list") if isinstance(listed, dict) else None
    if not isinstance(entries, list) or listed.keys() != {"model_config_list"}:
        message = "exists, and is no list of models alone"
        raise ArchspecError.one("W002", message, str(file), "-o names another folder")
    others = [entry for entry in entries if entry != own]
    if name in map(_name_of, others):
        message = f"lists another model that is called {name}"
        raise ArchspecError.one("W002", message, str(file), "-o names another folder")
    return [*others, own]


def _name_of(entry: Any) -> Any:
    config = entry.get("config") if isinstance(entry, dict) else None
    return config.get("name") if isinstance(config, dict) else None
