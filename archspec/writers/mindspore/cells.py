"""Operators written as MindSpore code, as their rows say:
a cell that holds state, or a function call.

Arguments whose defaults MindSpore has announced to change (momentum, pad_mode, stride, p) are
always written out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from archspec.graph.ir import Op
from archspec.operators.attributes import CHANNEL_COUNTS
from archspec.operators.mindspore_writing import MindSpore
from archspec.operators.table import OPERATORS

Settings = tuple[str, ...]
"""A kind of operator and its attributes in words, but for its channels."""

TAKEN = frozenset(
    {"Network", "OrderedDict", "Parameter", "StandardizedConv2d", "Tensor"}
    | {row.mindspore.name for row in OPERATORS.values() if row.mindspore.name}
)
"""Names that no class of a container may have."""

FUNCTIONS = frozenset(row.mindspore.name for row in OPERATORS.values() if row.mindspore.call)
"""What a module may define and call in `construct`: names that no variable may have there."""


def write_definitions(ops: Iterable[Op]) -> tuple[list[str], dict[Settings, str]]:
    """Return the functions and classes that a module of these operators defines.

    And what those are called that are defined for each set of settings, as norms are.
    """
    ops = list(ops)
    texts = list[str]()
    for kind, row in OPERATORS.items():
        code = row.mindspore
        alike = [op for op in ops if op.kind == kind and (is_cell(op) or not code.cell)]
        if alike and not code.is_for_each_setting:
            texts += filter(None, [_choose_definition(code, alike)])
    names = dict[Settings, str]()
    for op in ops:
        code = OPERATORS[op.kind].mindspore
        if code.is_for_each_setting and settings_of(op) not in names:
            name = names[settings_of(op)] = _find_free_name(code.name, names)
            texts.append(code.definition.format(**{**op.attrs, "name": name}))
    return texts, names


def _choose_definition(code: MindSpore, ops: Sequence[Op]) -> str:
    said = [code.arguments(op.attrs, "") for op in ops]
    if code.special and any(each.get("special") for each in said):
        return code.special
    is_general = code.general and any(each.get("unusual") for each in said)
    return code.general if is_general else code.definition


def _find_free_name(base: str, names: Mapping[Settings, str]) -> str:
    same = sum(name.startswith(base) for name in names.values())
    return f"{base}{same + 1}" if same else base


def settings_of(op: Op) -> Settings:
    """Return what operators have in common that one definition can make."""
    said = (f"{key}={value}" for key, value in sorted(op.attrs.items()) if key != "channels")
    return (op.kind, *said)


def is_cell(op: Op) -> bool:
    """Return whether an operator is an attribute of its container."""
    code = OPERATORS[op.kind].mindspore
    return bool(code.cell) and (not code.call or code.has_state(op.attrs))


def fixed_attributes(op: Op) -> list[tuple[str, object]]:
    """Return the attributes that operators of one class have in common;
    groups that are as many as the channels may differ.
    """
    code = OPERATORS[op.kind].mindspore
    as_wide = (name for name, is_wide in code.as_wide.items() if is_wide(op.attrs))
    varying = {*CHANNEL_COUNTS, *code.varying, *as_wide}
    return sorted((key, value) for key, value in op.attrs.items() if key not in varying)


def write_cell(op: Op, ins: str, outs: str, names: Mapping[Settings, str], **varying: str) -> str:
    """Return the expression that makes the operator's cell.

    `ins` and `outs` are its widths, and `varying` other attributes, as they are to be written.
    """
    row = OPERATORS[op.kind]
    own = {key: value for key, value in op.attrs.items() if key not in ("in_channels", "name")}
    values = {**row.defaults, **own, **varying, **row.mindspore.arguments(op.attrs, ins)}
    values |= {"ins": ins, "outs": outs, "name": names.get(settings_of(op), row.mindspore.name)}
    return row.mindspore.cell.format(**values)


def write_call(op: Op, local_name: str, inputs: list[str]) -> str:
    """Return the expression that runs the operator on expressions for its inputs."""
    row = OPERATORS[op.kind]
    code = row.mindspore
    if code.sign:
        return code.sign.join(inputs)
    joined = ", ".join(inputs)
    if not code.call or is_cell(op):
        return f"self.{local_name}({joined})"
    values = {**row.defaults, **op.attrs, **code.arguments(op.attrs, "")}
    return code.call.format(**values | {"name": code.name, "x": joined})
