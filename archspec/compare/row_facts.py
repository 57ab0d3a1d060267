"""What comparisons ask of an operator: its row's answer to its attributes."""

from __future__ import annotations

from collections.abc import Mapping

from archspec.graph.ir import Op
from archspec.operators.table import OPERATORS, attribute


def count_channels(op: Op, known: Mapping[str, int]) -> int:
    """Return how many channels an operator gives, those of what it reads being known."""
    return OPERATORS[op.kind].channels(op.attrs, [known[source] for source in op.inputs])


def is_idle(op: Op, channels: int) -> bool:
    """Return whether an operator that reads so many channels gives them as they are,
    in evaluation mode.
    """
    return OPERATORS[op.kind].is_idle(op.attrs, channels)


def has_bias(op: Op) -> bool:
    """Return whether it adds a bias; a file may leave out what is the default, and so may the
    spec's graph.
    """
    return bool(attribute(op.kind, op.attrs, "bias"))


def has_statistics(op: Op) -> bool:
    """Return whether it has moving statistics, as a batch norm has."""
    return OPERATORS[op.kind].has_statistics


def is_written_out(op: Op) -> bool:
    """Return whether it is a batch norm that a file has as a scale and a shift of each channel: its
    statistics and its eps are in these.
    """
    return has_statistics(op) and op.attrs["eps"] is None


def standardizes_filters(op: Op) -> bool:
    """Return whether it makes its filters of its weights wherever it is used."""
    return OPERATORS[op.kind].standardizes(op.attrs)
