"""What a step of the language comes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from archspec.operators.attributes import Attrs, Widths
from archspec.settings import SpecModel


def _as_the_model_says(said: Mapping[str, Any]) -> Mapping[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Step:
    """How the language says an operator: `{max_pool: {kernel: 3, stride: 2}}`."""

    name: str
    """Its key in a list of steps."""
    settings: type[SpecModel]
    """The model of its settings, whose docstrings are the schema's."""
    attrs: Callable[[Any, int, Widths], Attrs]
    """The operator's attributes: of the settings, the channels that it reads, and named widths."""
    base: str = ""
    """What the operator is called in its part, with a number:
    `pool1`; the step's key where empty."""
    said: Mapping[str, str] = field(default_factory=dict)
    """Which attribute says a setting, for `lift`, which writes steps of a file's operators."""
    kinds: Mapping[str, str] = field(default_factory=dict)
    """Kinds of operators by the setting `kind` that says which, where several share the step."""
    widths: Mapping[str, str] = field(default_factory=dict)
    """Which attribute says a setting that is a width."""
    words: Mapping[str, tuple[str, Callable[[Attrs], bool]]] = field(default_factory=dict)
    """What may be said in place of a setting's number, and of which operators."""
    follow_widths: tuple[str, ...] = ()
    """Attributes that may differ from layer to layer of one list of steps, as widths do."""
    usual: Callable[[Mapping[str, Any]], Mapping[str, Any]] = _as_the_model_says
    """What settings are that are not said, of all of them, where the model's default is not it."""
    note: str = ""
    """What the language's page says of it beside its settings."""

    @property
    def base_name(self) -> str:
        """What operators of this step are numbered by."""
        return self.base or self.name
