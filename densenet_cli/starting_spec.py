"""The text of a spec to start from, for `densenet new`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from archspec.spec.block import BlockSpec
from archspec.spec.spec import Spec
from densenet_cli.commented_yaml import describe_field, wrap_comment, write_paragraph, yaml_lines

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


def write_starting_spec(spec: Spec) -> str:
    """Return YAML that loads to the same spec: what it says itself,
    and the defaults of all else as comments.
    """
    # Without what was published: that is of another network.
    said = spec.model_dump(mode="json", exclude_unset=True, exclude={"published"})
    keys = [key for key in Spec.model_fields if key != "growth_rate"]
    keys.insert(keys.index("growth_multiplier"), "growth_rate")
    values = {key: getattr(spec, key) for key in keys} | {"published": ()}
    paragraphs = (_write_paragraph(key, _shorten(key, said.get(key)), values[key]) for key in keys)
    return "\n".join([_HEADER, *("\n".join([*lines, ""]) for lines in paragraphs)])


def _write_paragraph(key: str, said: Any, value: Any) -> Iterator[str]:
    """A key of the spec below a comment, commented out itself where nothing is `said` of it."""
    if key == "blocks":
        yield from _write_blocks(said)
    else:
        yield from write_paragraph(Spec, key, said, value)


def _write_blocks(blocks: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    from archspec.spec.schema import BLOCK_CONFIG

    if all([*block] == ["layers"] for block in blocks):
        yield from wrap_comment(BLOCK_CONFIG)
        yield from yaml_lines("block_config", [block["layers"] for block in blocks])
        return
    words = describe_field(Spec, "blocks")
    yield from wrap_comment(f"{words} Each may say {', '.join(BlockSpec.model_fields)}.")
    yield from yaml_lines("blocks", blocks)


def _shorten(key: str, value: Any) -> Any:
    """The short form of what is said, where it has one."""
    if isinstance(value, list):
        return [_shorten(key, item) for item in value]
    if not isinstance(value, dict):
        return value
    value = {name: _shorten(name, setting) for name, setting in value.items()}
    return value[_ALONE[key]] if [*value] == [_ALONE.get(key)] else value
