"""What a recipe says to MindSpore on Ascend alone; on a CPU all of it is off."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from archspec.settings import Flag, SpecModel

_SIZE = re.compile(r"(?=.*[1-9])[0-9]{1,4}(\.[0-9]{1,3})?GB")


def _check_gigabytes(value: Any) -> Any:
    if isinstance(value, str) and _SIZE.fullmatch(value):
        return value
    raise PydanticCustomError("memory_size", "must be a size such as 30GB or 3.5GB")


class AscendRecipe(SpecModel):
    """Switches of MindSpore on Ascend; on a CPU they are off."""

    jit_level: Literal["O0", "O1", "O2"] | None = None
    """How graphs are compiled (`jit_config`): O0 operator by operator, O1 with fused ones, O2 whole
    by CANN's graph engine; as MindSpore chooses where absent."""
    max_device_memory: Annotated[str, BeforeValidator(_check_gigabytes)] | None = None
    """The most that MindSpore takes of a device's memory (`runtime.set_memory`), such as `30GB`;
    all of it where absent."""
    deterministic: Flag = False
    """Whether an operator gives the same bits each time (`set_deterministic`), which takes longer:
    sums of devices too."""

    def list_said(self) -> tuple[str, ...]:
        """Return each switch that is on, in words: `jit_level O1`."""
        found = []
        for key, value in self:
            if value is True:
                found.append(key)
            elif value:
                found.append(f"{key} {value}")
        return tuple(found)


def describe_switches(switches: AscendRecipe, device_target: str) -> str:
    """Return the line that says what is switched, or that a CPU has no such; '' where nothing is
    said.
    """
    said = ", ".join(switches.list_said())
    if not said:
        return ""
    if device_target == "Ascend":
        return f"Ascend: {said}"
    return f"off on a {device_target}, being Ascend's own: {said}"
