"""What all models of settings share: their base, the bounds of numbers,
and rules between fields.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError, PydanticKnownError

Path = tuple[str | int, ...]
"""Keys and positions that lead to a value: `("blocks", 2, "growth_rate")`."""


class SpecModel(BaseModel):
    """What every part of a spec or recipe shares."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    MAIN_KEY: ClassVar[str] = ""
    """The key that is meant where a number alone is written for the whole part."""


def refuse_bool(value: Any) -> Any:
    """Refuse true and false where a number is meant."""
    if isinstance(value, bool):  # Python's True equals 1
        raise PydanticKnownError("int_type")
    return value


# Bounds are far beyond any network that fits a machine: they keep a typo, or a file made to harm,
# from building graphs that take all memory. Strict: a number in quotes is a mistake, not a number.
Channels = Annotated[int, Field(strict=True, ge=1, le=65_536)]
Rate = Annotated[float, Field(strict=True, ge=0, lt=1, allow_inf_nan=False)]
Growth = Annotated[int, Field(strict=True, ge=1, le=4_096)]
Factor = Annotated[int, Field(strict=True, ge=1, le=64)]
Share = Annotated[float, Field(strict=True, gt=0, le=1, allow_inf_nan=False)]
Pixels = Annotated[int, Field(strict=True, ge=1, le=8_192)]
Window = Annotated[int, Field(strict=True, ge=1, le=31)]
Stride = Annotated[int, Field(strict=True, ge=1, le=8)]
Padding = Annotated[int, Field(strict=True, ge=0, le=31)]
Flag = Annotated[bool, Field(strict=True)]
OddKernel = Annotated[Literal[1, 3, 5, 7], BeforeValidator(refuse_bool)]
Pooling = Literal["max", "avg", "none"]


def raise_broken_rules(faults: Iterable[tuple[Path, str]]) -> None:
    """Raise one error for all of the `faults`,
    the path below the model and the message of each, if there are any.
    """
    listed = list(faults)
    if listed:
        # One error for all: pydantic stops at the first that a validator raises.
        raise PydanticCustomError("broken_rules", "{faults}", {"faults": listed})


def broken_rule(field: str | Path, message: str) -> PydanticCustomError:
    """Return an error that names the field, or the path below the model,
    which breaks a rule between fields.
    """
    path = (field,) if isinstance(field, str) else field
    return PydanticCustomError("broken_rule", "{message}", {"message": message, "path": path})
