"""The texts of a row's code name nothing that nobody tells them."""

from __future__ import annotations

from dataclasses import replace
from string import Formatter
from typing import Any

import pytest
from operators.examples import READING, READING_NAMES

from archspec.operators.table import OPERATORS

MORE = {"cell": {"ins", "outs", "name"}, "call": {"x", "name"}}
"""What stands in braces beside attributes, and what `arguments` makes of them."""


@pytest.mark.parametrize(("kind", "attrs"), READING, ids=READING_NAMES)
def test_what_stands_in_braces_is_told(kind: str, attrs: Any) -> None:
    """A misspelt setting would end the first `build` in a KeyError."""
    row = OPERATORS[kind]
    told = {*row.defaults, *attrs, *row.mindspore.arguments(attrs, "16")}
    for field, more in MORE.items():
        text = getattr(row.mindspore, field)
        named = {name for _, name, _, _ in Formatter().parse(text) if name}
        assert named <= told | more, f"{kind}: mindspore.{field} = {text!r}"


@pytest.mark.parametrize("field", MORE)
def test_a_misspelt_setting_is_found(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code = replace(OPERATORS["elu"].mindspore, **{field: "nn.ELU({aplha})"})
    monkeypatch.setitem(OPERATORS, "elu", replace(OPERATORS["elu"], mindspore=code))
    with pytest.raises(AssertionError, match=f"elu: mindspore.{field} = .*aplha"):
        test_what_stands_in_braces_is_told("elu", {"alpha": 0.3})
