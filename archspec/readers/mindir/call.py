"""What a MINDIR's functions compute with beside features and weights, and a node about to run.

Sizes, texts and tuples are Python's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from archspec.readers import trace
from archspec.readers.trace import MAX_NAME


@dataclass(frozen=True, slots=True)
class Closure:
    """A function with its first arguments."""

    function: str
    bound: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Call(trace.Call):
    """A node about to run, which the graph calls by a part of its name."""

    def short(self, name: str) -> str:
        """Return what a node or a weight is called in the graph."""
        return short_name(name)


def short_name(name: str) -> str:
    """Return `CNode_47` of `network_construct_35:CNode_47:13`,
    `conv0.weight` of `Default:conv0.weight`.
    """
    parts = name.split(":")
    return (parts[1] if len(parts) > 1 and parts[1] else parts[0]).partition("$")[0][:MAX_NAME]
