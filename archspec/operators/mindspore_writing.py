"""How the code of a MindSpore module says an operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from archspec.operators.attributes import Attrs, always


def _no_arguments(attrs: Attrs, ins: str) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class MindSpore:
    """How MindSpore code says an operator: a cell that holds state, a function call, or a sign.

    In the texts {ins} and {outs} are widths, {x} what a function reads, {name} what the module's
    own definition is called; the rest are attributes, and what `arguments` makes of them.
    """

    cell: str = ""
    """What stands behind `self.NAME = `."""
    call: str = ""
    """The call of what has no state."""
    sign: str = ""
    """Python's own, such as ` + `."""
    arguments: Callable[[Attrs, str], Mapping[str, str]] = _no_arguments
    """More texts, of the attributes and the width that is read."""
    definition: str = ""
    """What the module defines for it, so that an operator fits on a line."""
    general: str = ""
    """The definition where some operator has arguments that `arguments` calls unusual."""
    special: str = ""
    """The definition where some operator has arguments that `arguments` calls special."""
    name: str = ""
    """Of the definition."""
    is_for_each_setting: bool = False
    """There is a definition for each set of attributes, channels left out."""
    varying: tuple[str, ...] = ()
    """Attributes that its cell is given and in which operators of one class may differ, as they do
    in `CHANNEL_COUNTS`: the class takes them as arguments then."""
    as_wide: Mapping[str, Callable[[Attrs], bool]] = field(default_factory=dict)
    """Attributes that `arguments` writes as the width that is read, where that says so of an
    operator: in these those of one class may differ too."""
    he_normal: str = ""
    """The class of MindSpore's own whose filters the module starts He normal."""
    he_uniform: str = ""
    """The class of MindSpore's own whose weight the module starts He uniform."""
    is_inline: bool = False
    """It is written into the call that reads it: conv(relu(norm(x))) is one line."""
    has_state: Callable[[Attrs], bool] = always
    """Of what has a cell and a call: its attributes make it a cell."""
