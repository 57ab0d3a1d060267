"""Which MindSpore is here, which versions this package was tested with, and what differs.

The range stands in the package's own metadata, as what it depends on. What differs between the
versions of that range is met here; all other code does what every one of them allows:

- Up to 2.9 MindSpore's protobuf modules are of a protoc whose modules protobuf 4 and later refuse
  to import. MindSpore has protobuf compute in Python alone, where they are welcome, but can do so
  only where nothing, such as onnx, has imported protobuf before. Maps are lists of entries there.
- Since 2.9 the module that compiles is `mindspore.graph.api`; it was `mindspore.common.api`.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

OWN = "densenet-archspec"


def find_version(package: str) -> str:
    """Return an installed package's version, '' where there is none."""
    from importlib.metadata import PackageNotFoundError, version  # here: it takes 20 ms

    try:
        return version(package) or ""  # None where pip left half of a package behind
    except PackageNotFoundError:
        return ""


@cache
def find_mindspore() -> str:
    """Return the version of the MindSpore that is here, '' where there is none.

    One that was built from its sources, or installed under another name, says it itself.
    """
    found = find_version("mindspore")
    folder = find_folder()
    if found or folder is None:
        return found
    try:
        text = (folder / "version.py").read_text("utf-8")
    except OSError:
        return ""
    said = re.search(r"""__version__\s*=\s*['"]([^'"]+)['"]""", text)
    return said[1] if said else ""


def list_versions() -> dict[str, str]:
    """Return the versions of this package and of MindSpore: all that computes follows from them."""
    return {OWN: find_version(OWN), "mindspore": find_mindspore()}


def find_folder() -> Path | None:
    """Return where the package MindSpore lies, None where it is not installed."""
    spec = find_spec("mindspore")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


@cache
def find_wanted() -> str:
    """Return which versions this package was tested with, as pip reads it: `>=2.7,<2.11`; '' where
    that is not known, as of a copy of the sources that is not installed.
    """
    from importlib.metadata import requires

    from packaging.requirements import Requirement

    if not find_version(OWN):
        return ""
    for line in requires(OWN) or ():
        wanted = Requirement(line)
        if wanted.name == "mindspore":
            return ",".join(sorted(map(str, wanted.specifier), reverse=True))
    return ""


def is_tested(found: str) -> bool:
    """Return whether a version is one of those that this package was tested with; a preliminary
    one, and one with a suffix of a server's own, counts as what it is numbered.
    """
    from packaging.specifiers import SpecifierSet
    from packaging.version import InvalidVersion, Version

    try:
        return SpecifierSet(find_wanted()).contains(Version(found), prereleases=True)
    except InvalidVersion:
        return False


def describe_range() -> str:
    """Return the range in words: `2.7 to 2.10`."""
    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

    bounds = {part.operator: part.version for part in SpecifierSet(find_wanted())}
    if bounds.keys() != {">=", "<"}:
        return find_wanted()
    above = Version(bounds["<"])
    return f"{bounds['>=']} to {above.major}.{above.minor - 1}"


def doubt_mindspore() -> str:
    """Return a line where this MindSpore is none that was tested, else ''."""
    found = find_mindspore()
    if not found or is_tested(found):
        return ""
    return f"MindSpore {found} is outside the tested range {describe_range()}: results may differ"


def import_compiler() -> Any:
    """Return MindSpore's module that compiles, and looks for graphs that it has kept; None where
    this version has none that is known.
    """
    for name in ("mindspore.graph.api", "mindspore.common.api"):
        with suppress(ImportError):
            module = import_module(name)
            if hasattr(module, "entry_script_path"):
                return module
    return None


def find_description(folder: Path, name: str) -> bytes:
    """Return what a protobuf module of MindSpore describes, itself a message, without running it:
    the longest bytes there, all others being options.
    """
    text = (folder / f"{name}.py").read_text("utf-8")
    constants = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, bytes):
            constants.append(node.value)
    return max(constants, key=len)


def fill_map(field: Any, texts: Mapping[str, str]) -> None:
    """Put texts by name into a message, whose map is a list of entries with the modules of an old
    protoc; both are written alike.
    """
    if hasattr(field, "update"):
        field.update(texts)
        return
    for name, text in texts.items():
        field.add(key=name, value=text)


def welcome_old_messages() -> None:
    """Have MindSpore's protobuf modules imported whatever protobuf computes with; call it before
    MindSpore is imported.
    """
    if not any(isinstance(finder, _OldMessages) for finder in sys.meta_path):
        sys.meta_path.insert(0, _OldMessages())


class _OldMessages(MetaPathFinder, Loader):
    """Finds protobuf modules that protobuf would refuse, and makes them of what they describe."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.rpartition(".")
        if package != "mindspore.train" or not name.endswith("_pb2") or not path:
            return None
        # MindSpore has chosen by now, if it could.
        from google.protobuf.internal import api_implementation  # type: ignore[import-untyped]

        file = Path(path[0]) / f"{name}.py"
        if api_implementation.Type() != "upb" or not _is_old(file):
            return None
        return spec_from_file_location(fullname, file, loader=self)

    def create_module(self, spec: ModuleSpec) -> None:
        """Leave it to Python."""

    def exec_module(self, module: ModuleType) -> None:
        from google.protobuf import descriptor_pb2, descriptor_pool  # type: ignore[import-untyped]
        from google.protobuf.internal import builder

        package, _, name = module.__name__.rpartition(".")
        assert module.__file__ is not None
        described = find_description(Path(module.__file__).parent, name)
        for needed in descriptor_pb2.FileDescriptorProto.FromString(described).dependency:
            import_module(f"{package}.{needed.removesuffix('.proto')}_pb2")
        names = vars(module)
        names["DESCRIPTOR"] = file = descriptor_pool.Default().AddSerializedFile(described)
        builder.BuildMessageAndEnumDescriptors(file, names)
        builder.BuildTopDescriptorsAndMessages(file, module.__name__, names)


def _is_old(file: Path) -> bool:
    """Whether protoc before 3.20 wrote it, which lists all fields in Python."""
    try:
        return b"_descriptor.FieldDescriptor(" in file.read_bytes()
    except OSError:
        return False
