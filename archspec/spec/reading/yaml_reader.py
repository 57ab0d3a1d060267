"""YAML text to a Document: a safe loader with bounds that keeps the place of every key and value.

Untrusted text: no tags, no objects, bounded size, nesting and number of values (aliases count as
often as they are used, so an alias bomb meets the same bound). Scalars follow the core schema of
YAML 1.2, in which `1e-4` is a number and `no` is a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

import yaml

from archspec.errors import Diagnostic, Place, SpecError
from archspec.file_kinds import HEAD, LFS, PACKED, PAGE, TEXT, identify_kind
from archspec.settings import Path
from archspec.spec.reading.document import Document

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_VALUES = 5_000

# libyaml's parser, where PyYAML was built with it, is ten times faster and bounds its own nesting.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# What YAML does not count as text, the byte order mark inside a text included.
_CONTROL = re.compile(
    r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)

_HINTS: Mapping[str, str] = {
    "found character that cannot start any token": "indent with spaces, not tabs; quote signs",
    "found a tab character that violates indentation": "indent with spaces, not tabs",
    "mapping values are not allowed in this context": (
        "check the indentation; quote text that holds ': '"
    ),
    "found another document": "a file holds one document",
}

_MODEL = "a spec is a YAML file; weights and models have arguments of their own"
_STRANGERS: Mapping[str, str] = {
    LFS: "git lfs pull fetches the file itself",
    PACKED: "unpack it",
    PAGE: "the download went wrong",
}

SCALARS: tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...] = (
    (re.compile(r"(null|Null|NULL|~|)"), lambda _: None),
    (re.compile(r"(true|True|TRUE)"), lambda _: True),
    (re.compile(r"(false|False|FALSE)"), lambda _: False),
    # Python refuses to read whole numbers of thousands of digits; as floats they meet their bounds.
    (re.compile(r"[-+]?[0-9]+"), lambda text: int(text) if len(text) < 300 else float(text)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(inf|Inf|INF)"), lambda text: float(text.replace(".", ""))),
    (re.compile(r"\.(nan|NaN|NAN)"), lambda _: float("nan")),
)


def read_file(path: FilePath, absent: str = "") -> Document:
    """Return the document in a YAML file; `absent` is the hint where there is no such file.

    Raises:
        SpecError: Y001..Y009, each with its line and column.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        hint = absent if isinstance(error, FileNotFoundError) else ""
        raise SpecError.one("Y001", f"cannot be read: {error.strerror}", str(path), hint) from None
    kind = identify_kind(raw[:HEAD])
    if kind not in ("", TEXT):
        raise SpecError.one("Y003", f"is {kind}, no YAML", str(path), _STRANGERS.get(kind, _MODEL))
    _check_size(len(raw), str(path))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError.one("Y003", f"is not UTF-8 text (byte {error.start})", str(path)) from None
    return read_text(text, str(path))


def read_text(text: str, source: str) -> Document:
    """Return the document in YAML text; `source` names it in the places.

    Raises:
        SpecError: Y002..Y009, each with its line and column.
    """
    # From the cheapest check to the dearest: nothing walks a text that is too large or too deep.
    _check_size(len(text), source)
    _refuse_control_characters(text, source)
    try:
        _check_events(text, source)
        root = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise _syntax_fault(error, source) from None
    if root is None:
        raise SpecError.one(
            "Y004", "is empty", source, "to start from: densenet new, densenet recipe new"
        )
    return _Composer(source).document(root)


def read_value(text: str, place: Place) -> Document:
    """Return one value given on the command line (`--set key=VALUE`);
    its parts all have the one place.
    """
    try:
        document = read_text(text, str(place)) if text.strip() else Document(None, {(): place})
    except SpecError as error:
        faults = (replace(fault, where=str(place)) for fault in error.diagnostics)
        raise SpecError(faults) from None
    return Document(
        document.value, dict.fromkeys(document.places, place), dict.fromkeys(document.keys, place)
    )


def _check_size(size: int, source: str) -> None:
    if size > MAX_BYTES:
        raise SpecError.one(
            "Y002", f"is larger than {MAX_BYTES // 1024} KiB, the most a spec may have", source
        )


def _refuse_control_characters(text: str, source: str) -> None:
    found = _CONTROL.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        column = found.start() - text.rfind("\n", 0, found.start())
        message = f"holds the control character {found.group()!r}, which is no text"
        raise SpecError.one("Y003", message, Place(source, "file", line, column))


def _check_events(text: str, source: str) -> None:
    """Bound nesting and refuse tags on the event stream,
    before anything recursive reads the text.
    """
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        place = _place_of(source, event.start_mark)
        depth += isinstance(event, yaml.events.CollectionStartEvent)
        depth -= isinstance(event, yaml.events.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise _depth_fault(place)
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise SpecError.one(
                "Y008", f"the tag {tag!r} is not allowed: a spec holds plain values", place
            )


def _depth_fault(place: Place) -> SpecError:
    return SpecError([Diagnostic("Y005", f"is nested deeper than {MAX_DEPTH} levels", str(place))])


def _syntax_fault(error: yaml.YAMLError, source: str) -> SpecError:
    mark, begin = getattr(error, "problem_mark", None), getattr(error, "context_mark", None)
    problem = (getattr(error, "problem", None) or "unreadable").removeprefix("but ")
    if "nesting depth" in problem:  # libyaml has a bound of its own, and looks ahead
        return _depth_fault(_place_of(source, mark))
    hint = _HINTS.get(problem, "")
    context = getattr(error, "context", None) or ""
    if begin and mark and begin.line != mark.line and context.startswith("while"):
        problem = f"{problem} {context} (from line {begin.line + 1})"
    return SpecError(
        [Diagnostic("Y006", f"is not YAML: {problem}", str(_place_of(source, mark)), hint)]
    )


def _place_of(source: str, mark: Any) -> Place:
    return Place(source, "file", mark.line + 1, mark.column + 1) if mark else Place(source)


class _Composer:
    """Walks composed nodes; holds the places found on the way and the count of values so far."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.count = 0
        self.places: dict[Path, Place] = {}
        self.keys: dict[Path, Place] = {}
        self.open: set[int] = set()
        self.twice: list[Diagnostic] = []

    def document(self, root: yaml.Node) -> Document:
        value = self.value(root, ())
        if self.twice:
            raise SpecError(self.twice)
        return Document(value, self.places, self.keys)

    def value(self, node: yaml.Node, path: Path) -> Any:
        place = _place_of(self.source, node.start_mark)
        self.count += 1
        if self.count > MAX_VALUES:
            raise SpecError.one(
                "Y007", f"holds more than {MAX_VALUES} values, aliases counted each time", place
            )
        if len(path) > MAX_DEPTH:  # by aliases; the text itself is no deeper
            raise _depth_fault(place)
        if id(node) in self.open:  # composed nodes may form a cycle; values never do
            raise SpecError.one("Y007", "has an alias that contains itself", place)
        self.places[path] = place
        if isinstance(node, yaml.ScalarNode):
            return _read_scalar(node)
        self.open.add(id(node))
        read = self.mapping if isinstance(node, yaml.MappingNode) else self.sequence
        result = read(node, path)
        self.open.discard(id(node))
        return result

    def mapping(self, node: Any, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = _place_of(self.source, key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode):
                raise SpecError.one("Y008", "a key must be a plain word", place)
            key = key_node.value  # as it is written: 1 and 01 are keys of their own
            here = (*path, key)
            if key in result:
                message = f"the key {key!r} stands twice; first at {self.keys[here]}"
                self.twice.append(Diagnostic("Y009", message, str(place)))
                continue
            self.keys[here] = place
            result[key] = self.value(value_node, here)
        return result

    def sequence(self, node: Any, path: Path) -> list[Any]:
        return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]


def _read_scalar(node: yaml.ScalarNode) -> Any:
    if node.style:  # quoted
        return node.value
    for pattern, convert in SCALARS:
        if pattern.fullmatch(node.value):
            return convert(node.value)
    return node.value
