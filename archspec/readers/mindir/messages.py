"""What the messages of a MINDIR are, as the installed MindSpore says it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from archspec.mindspore_versions import find_description, find_folder
from archspec.runtime import prepare

PACKAGE = "mind_ir."


def load_messages() -> SimpleNamespace:
    """Return the messages' classes by name: `ModelProto`, `GraphProto`, ... and `UserInfoEntry`, an
    entry of the map that a model has of texts by name.

    MindSpore, whose import takes seconds, is not imported, and its protobuf module not run.
    Raises EnvironmentFault (E001) where MindSpore is not installed.
    """
    prepare()
    folder = find_folder()
    assert folder is not None
    return _read_messages(folder / "train")


@cache
def _read_messages(folder: Path) -> SimpleNamespace:
    from google.protobuf import message_factory  # type: ignore[import-untyped]
    from google.protobuf.descriptor_pb2 import FileDescriptorProto  # type: ignore[import-untyped]

    described = FileDescriptorProto.FromString(find_description(folder, "mind_ir_pb2"))
    # In a pool of its own: MindSpore registers the same names when it is imported.
    made: dict[str, Any] = message_factory.GetMessages([described])
    found = {name.removeprefix(PACKAGE): kind for name, kind in made.items()}
    # protobuf in Python alone, as MindSpore up to 2.9 has it, gives a class none of its maps'.
    entry = found["ModelProto"].DESCRIPTOR.nested_types_by_name["UserInfoEntry"]
    found["UserInfoEntry"] = message_factory.GetMessageClass(entry)
    return SimpleNamespace(**found)
