"""YAML text to a Document: a safe loader with bounds that keeps the place of every key and value.

Untrusted text: no tags, no objects, bounded size, nesting and number of values (aliases count as often as
they are used, so an alias bomb meets the same bound). Scalars follow the core schema of YAML 1.2, in which
`1e-4` is a number and `no` is a word.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Any

import yaml

from archspec.errors import SpecError
from archspec.spec.document import Document, Path

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_VALUES = 20_000

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_SCALARS: tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...] = (
    (re.compile(r"(null|Null|NULL|~|)"), lambda _: None),
    (re.compile(r"(true|True|TRUE)"), lambda _: True),
    (re.compile(r"(false|False|FALSE)"), lambda _: False),
    (re.compile(r"[-+]?[0-9][0-9_]*"), lambda text: int(text) if len(text) < 400 else float("inf")),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(inf|Inf|INF)"), lambda text: float(text.replace(".", ""))),
    (re.compile(r"\.(nan|NaN|NAN)"), lambda _: float("nan")),
)


def read_file(path: FilePath) -> Document:
    """Return the document in a YAML file.

    Raises:
        SpecError: Y001..Y009, each with `file:line:column`.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SpecError.one("Y001", f"cannot be read: {error.strerror}", str(path)) from None
    if len(raw) > MAX_BYTES:
        raise SpecError.one(
            "Y002", f"is larger than {MAX_BYTES // 1024} KiB, the most a spec may have", str(path)
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError.one("Y003", f"is not UTF-8 text (byte {error.start})", str(path)) from None
    return read_text(text, str(path))


def read_text(text: str, source: str) -> Document:
    """Return the document in YAML text; `source` names it in the places.

    Raises:
        SpecError: Y002..Y009, each with `source:line:column`.
    """
    if len(text) > MAX_BYTES:
        raise SpecError.one(
            "Y002", f"is larger than {MAX_BYTES // 1024} KiB, the most a spec may have", source
        )
    try:
        _bound_nesting(text, source)
        root = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise SpecError([_syntax_fault(error, source)]) from None
    if root is None:
        raise SpecError.one("Y004", "is empty", source, "try: densenet inspect densenet121 --yaml")
    return _Composer(source).document(root)


def read_value(text: str, place: str) -> Document:
    """Return one value given on the command line (`--set key=VALUE`); its parts all have the one place."""
    document = read_text(text, place) if text.strip() else Document(None, {(): place})
    return Document(
        document.value, dict.fromkeys(document.places, place), dict.fromkeys(document.keys, place)
    )


def _bound_nesting(text: str, source: str) -> None:
    """Count nesting on the event stream, which needs no recursion, before anything recursive reads it."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.events.CollectionStartEvent):
            depth += 1
        if isinstance(event, yaml.events.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise SpecError.one(
                "Y005", f"is nested deeper than {MAX_DEPTH} levels", _place(source, event.start_mark)
            )


def _syntax_fault(error: yaml.YAMLError, source: str) -> Any:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "unreadable"
    hint = "indent with spaces" if "\\t" in problem or "tab" in problem else ""
    message = f"is not YAML: {problem}"
    return SpecError.one("Y006", message, _place(source, mark), hint).diagnostics[0]


def _place(source: str, mark: Any) -> str:
    return f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source


class _Composer:
    """Walks composed nodes; holds the places found on the way and the count of values so far."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.count = 0
        self.places: dict[Path, str] = {}
        self.keys: dict[Path, str] = {}
        self.open: set[int] = set()

    def document(self, root: yaml.Node) -> Document:
        return Document(self.value(root, ()), self.places, self.keys)

    def value(self, node: yaml.Node, path: Path) -> Any:
        place = _place(self.source, node.start_mark)
        self.count += 1
        if self.count > MAX_VALUES:
            raise SpecError.one(
                "Y007", f"holds more than {MAX_VALUES} values, aliases counted each time", place
            )
        if id(node) in self.open:
            raise SpecError.one("Y007", "has an alias that contains itself", place)
        self.places[path] = place
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node, place)
        self.open.add(id(node))
        read = self.mapping if isinstance(node, yaml.MappingNode) else self.sequence
        result = read(node, path)
        self.open.discard(id(node))
        return result

    def mapping(self, node: Any, path: Path) -> dict[str, Any]:
        _refuse_tag(node, "tag:yaml.org,2002:map", _place(self.source, node.start_mark))
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            place = _place(self.source, key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode):
                raise SpecError.one("Y008", "a key must be a plain word", place)
            key = key_node.value
            here = (*path, key)
            if key in result:
                raise SpecError.one(
                    "Y009", f"the key {key!r} stands twice; first at {self.keys[here]}", place
                )
            self.keys[here] = place
            result[key] = self.value(value_node, here)
        return result

    def sequence(self, node: Any, path: Path) -> list[Any]:
        _refuse_tag(node, "tag:yaml.org,2002:seq", _place(self.source, node.start_mark))
        return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]


def _refuse_tag(node: yaml.Node, expected: str, place: str) -> None:
    if node.tag != expected:
        raise SpecError.one("Y008", f"the tag {node.tag!r} is not allowed: a spec holds plain values", place)


def _scalar(node: Any, place: str) -> Any:
    if node.style in {"'", '"', "|", ">"}:
        _refuse_tag(node, "tag:yaml.org,2002:str", place)
        return node.value
    if not node.tag.startswith("tag:yaml.org,2002:") or "python" in node.tag:
        raise SpecError.one("Y008", f"the tag {node.tag!r} is not allowed: a spec holds plain values", place)
    for pattern, convert in _SCALARS:
        if pattern.fullmatch(node.value):
            return convert(node.value)
    return node.value
