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
    """Return the messages' classes by name: `ModelProto`, `GraphProto`, ...

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
    named = {name.removeprefix(PACKAGE): kind for name, kind in made.items()}
    # Protobuf's own Python, which MindSpore asks for, has no attributes for messages in others.
    told = named["ModelProto"].DESCRIPTOR.fields_by_name["user_info"].message_type
    return SimpleNamespace(**named, UserInfoEntry=message_factory.GetMessageClass(told))
