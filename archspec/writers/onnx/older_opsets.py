"""Nodes in an older version of ONNX's operators than that in which rows write them.

Of what is written, reductions alone are said otherwise before opset 18: their axes are an attribute
and no input. All else is there in the same form, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from onnx import NodeProto, defs, helper, numpy_helper

from archspec.errors import ArchspecError, Diagnostic
from archspec.writers.onnx.onnx_nodes import Nodes

OLDEST = 13
"""Of May 2020: the first in which weights of 8 bits have a scale for each channel."""


def say_in_opset(made: Nodes, opset: int) -> None:
    """Change written nodes to those of an opset.

    Raises:
        ArchspecError: W004, all nodes of which it has no such form.
    """
    _say_axes_as_attribute(made, opset)
    faults = dict[str, Diagnostic]()
    for node in made.nodes:
        for rule in _find_faults(node, opset):
            cure = "leave out --opset, or name a newer one"
            faults.setdefault(rule, Diagnostic("W004", rule, node.name, cure))
    if faults:
        raise ArchspecError(faults.values())


def _say_axes_as_attribute(made: Nodes, opset: int) -> None:
    for node in made.nodes:
        if _has_axes_as_attribute(node, opset):
            axes = numpy_helper.to_array(made.initializers[node.input[1]])
            del node.input[1:]
            node.attribute.append(helper.make_attribute("axes", axes.tolist()))
    read = {value for node in made.nodes for value in node.input}
    for name in made.initializers.keys() - read:
        del made.initializers[name]


def _has_axes_as_attribute(node: NodeProto, opset: int) -> bool:
    """Whether the axes that a node reads are an attribute in an opset, as in those before 18."""
    with suppress(defs.SchemaError):  # not in this opset: a fault below
        schema = defs.get_schema(node.op_type, opset)
        return "axes" in schema.attributes and len(node.input) > schema.max_input
    return False


def _first_version(operator: str) -> int:
    """The opset that first has an operator; `get_schema` gives that of its latest change."""
    known = defs.get_all_schemas_with_history()
    return min(each.since_version for each in known if (each.domain, each.name) == ("", operator))


def _find_faults(node: NodeProto, opset: int) -> Iterator[str]:
    """Why an opset does not have a node."""
    try:
        schema = defs.get_schema(node.op_type, opset)
    except defs.SchemaError:
        first = _first_version(node.op_type)
        yield f"{node.op_type} is not in opset {opset}, but from {first} on"
        return
    strange = sorted({attribute.name for attribute in node.attribute} - schema.attributes.keys())
    if strange or not schema.min_input <= len(node.input) <= schema.max_input:
        yield f"{node.op_type} is said otherwise in opset {opset}"
