"""A recipe's switches of Ascend, handed to MindSpore.

Imports mindspore where there is one; call `archspec.runtime.prepare` before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from archspec.errors import EnvironmentFault
from archspec.train.recipe.ascend_settings import AscendRecipe

_SET: dict[str, Any] = {}
"""What this process has handed over: MindSpore takes memory and determinism once."""


def set_switches(switches: AscendRecipe, device_target: str) -> None:
    """Hand them to MindSpore, behind the choice of the device, before anything is computed and
    before workers join: their sums are deterministic so too. On a CPU nothing is done.

    Raises:
        EnvironmentFault: E004, this process has another value already.
    """
    if device_target != "Ascend":
        return
    import mindspore as ms

    if switches.jit_level is not None:
        ms.set_context(jit_config={"jit_level": switches.jit_level})
    if switches.max_device_memory is not None:
        size = switches.max_device_memory
        _set_once("max_device_memory", size, lambda: ms.runtime.set_memory(max_size=size))
    if switches.deterministic:
        _set_once("deterministic", True, lambda: ms.set_deterministic(True))


def _set_once(name: str, value: Any, set_it: Callable[[], None]) -> None:
    if _SET.get(name) == value:
        return
    try:
        set_it()
    except RuntimeError as error:
        rule = f"ascend.{name} (={value}) cannot be set: {str(error).partition('. ')[0].strip()}"
        cure = "train in another process, or say the same for all runs of this one"
        raise EnvironmentFault.one("E004", rule, hint=cure) from None
    _SET[name] = value
