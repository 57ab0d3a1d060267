"""What a setting is for: the words that stand beneath it in its model.

Pydantic gathers them too, if asked, but as each class is made: every command would read and parse
the source of all models before it began.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Mapping
from functools import cache

from pydantic import BaseModel


@cache
def describe_fields(model: type[BaseModel]) -> Mapping[str, str]:
    """Return the docstring of each field that has one, by the field's name; inherited ones too."""
    words: dict[str, str] = {}
    for owner in reversed(model.__mro__):
        words |= _read_class(owner.__module__).get(owner.__qualname__, {})
    return {name: text for name, text in words.items() if name in model.model_fields}


@cache
def _read_class(module: str) -> Mapping[str, Mapping[str, str]]:
    """The docstrings of the fields of each class of a module of ours."""
    if not module.startswith("archspec."):
        return {}
    found = {}
    for node in ast.walk(ast.parse(inspect.getsource(sys.modules[module]))):
        if isinstance(node, ast.ClassDef):
            found[node.name] = _read_fields(node)
    return found


def _read_fields(node: ast.ClassDef) -> dict[str, str]:
    """The string beneath each annotated name."""
    words = {}
    for field, below in zip(node.body, node.body[1:], strict=False):
        if not (isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)):
            continue
        if not (isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)):
            continue
        if isinstance(below.value.value, str):
            words[field.target.id] = inspect.cleandoc(below.value.value)
    return words
