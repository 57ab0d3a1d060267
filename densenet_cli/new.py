"""densenet new."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from archspec.spec.block import BlockSpec
from archspec.spec.load import Override, load_spec
from archspec.spec.model import Spec
from densenet_cli.options import complete_spec, console, place_typed, save

COLUMNS = 120
SCHEMA = "spec.schema.json"

_HEADER = f"""\
# yaml-language-server: $schema={SCHEMA}
# `densenet schema -o {SCHEMA}` writes that schema, \
by which an editor completes and checks this file.
#
# What is commented out holds as it stands; take away the # before a key to change it.
"""

# The setting that is written alone where nothing else is said: `norm: group`.
_ALONE: Mapping[str, str] = {
    "stem": "steps",
    "connectivity": "rule",
    "transition": "steps",
    "transitions": "steps",
    "norm": "kind",
}


def new(
    name: Annotated[str, typer.Argument(help="The new network's name.")],
    like: Annotated[
        str,
        typer.Option(
            help="What to start from: a shipped spec or a YAML file.", autocompletion=complete_spec
        ),
    ] = "densenet121",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file (default: NAME.yaml).")
    ] = None,
) -> None:
    """Write a commented spec to start from:
    another one's settings, and the defaults of all that it leaves unsaid.

    Example: densenet new my_net --like densenet121
    """
    name = name.removesuffix(".yaml")
    text = write_starting_file(
        load_spec(like, [Override(("name", name), place_typed(f"NAME {name}"))])
    )
    file = output or Path(f"{name}.yaml")
    save(file, text, replace=False)
    console.out(f"wrote {file}\nNext: densenet check {shlex.quote(str(file))}")


def write_starting_file(spec: Spec) -> str:
    """Return YAML that loads to the same spec: what it says itself,
    and the defaults of all else as comments.
    """
    # Without what was published: that is of another network.
    said = spec.model_dump(mode="json", exclude_unset=True, exclude={"published"})
    keys = [key for key in Spec.model_fields if key != "growth_rate"]
    keys.insert(keys.index("growth_multiplier"), "growth_rate")
    paragraphs = (
        _write_paragraph(key, _shorten(key, said.get(key)), getattr(spec, key)) for key in keys
    )
    return "\n".join([_HEADER, *("\n".join([*lines, ""]) for lines in paragraphs)])


def _write_paragraph(key: str, said: Any, value: Any) -> Iterator[str]:
    """A key of the spec below a comment, commented out itself where nothing is `said` of it."""
    if key == "blocks":
        yield from _write_blocks(said)
        return
    field = Spec.model_fields[key]
    yield from _wrap_comment(_description_of(field) or _description_of(type(value)))
    settings = value.model_dump(mode="json") if isinstance(value, BaseModel) else None
    if isinstance(settings, dict) and (said is None or isinstance(said, dict)):
        yield from _write_settings(key, said, [(k, type(value).model_fields[k]) for k in settings])
        return
    default = settings if settings is not None else field.default
    if said is None:
        yield from (f"#{line}" for line in _yaml_lines(key, default))
    else:
        yield from _yaml_lines(key, said)


def _write_settings(
    key: str, said: Mapping[str, Any] | None, fields: Sequence[tuple[str, FieldInfo]]
) -> Iterator[str]:
    """A part's settings, a comment behind each, or above where there is no room."""
    whole = "#" if said is None else ""
    yield f"{whole}{key}:"
    for name, field in fields:
        is_said = said is not None and name in said
        one = "" if is_said or whole else "#"
        lines = _yaml_lines(name, said[name] if said is not None and is_said else field.default)
        words = _wrap_comment(_description_of(field))
        if len(lines) == len(words) == 1 and len(lines[0] + words[0]) + 6 <= COLUMNS:
            lines, words = [f"{lines[0]}  {words[0]}"], []
        yield from (f"{whole}  {line}" for line in words)
        yield from (f"{whole}  {one}{line}" for line in lines)


def _write_blocks(blocks: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    from archspec.spec.schema import BLOCK_CONFIG

    if all([*block] == ["layers"] for block in blocks):
        yield from _wrap_comment(BLOCK_CONFIG)
        yield from _yaml_lines("block_config", [block["layers"] for block in blocks])
        return
    words = _description_of(Spec.model_fields["blocks"])
    yield from _wrap_comment(f"{words} Each may say {', '.join(BlockSpec.model_fields)}.")
    yield from _yaml_lines("blocks", blocks)


def _shorten(key: str, value: Any) -> Any:
    """The short form of what is said, where it has one."""
    if isinstance(value, list):
        return [_shorten(key, item) for item in value]
    if not isinstance(value, dict):
        return value
    value = {name: _shorten(name, setting) for name, setting in value.items()}
    return value[_ALONE[key]] if [*value] == [_ALONE.get(key)] else value


def _description_of(described: Any) -> str:
    words = described.description if isinstance(described, FieldInfo) else described.__doc__
    return " ".join((words or "").split())


def _yaml_lines(key: str, value: Any) -> list[str]:
    from archspec.files import to_yaml

    if value is None:
        return [f"{key}:"]
    text = to_yaml({key: [*value] if isinstance(value, tuple) else value}).rstrip()
    return (text[1:-1] if text.startswith("{") else text).splitlines()


def _wrap_comment(words: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(words, COLUMNS - 8)]
