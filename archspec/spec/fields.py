"""What the models of specs and recipes share: their bases, and the bounds of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr
from pydantic_core import PydanticCustomError, PydanticKnownError

from archspec.errors import Place
from archspec.spec.reading.document import Document, Path


class SpecModel(BaseModel):
    """What every part of a spec or recipe shares."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class WrittenModel(SpecModel):
    """A whole document, which knows where each of its values was written."""

    _document: Document = PrivateAttr(default_factory=lambda: Document(None))

    def __eq__(self, other: object) -> bool:
        """Equal settings make equal models, wherever they were written."""
        return type(other) is type(self) and self.__dict__ == other.__dict__

    def place(self, *paths: Path) -> str:
        """Return in words where the first of `paths` that is written at all stands.

        Where none is, it is the place of what encloses the first, or '' where nobody wrote that.
        """
        written = (path for path in paths if path in self._document.places)
        return str(self._document.place(next(written, paths[0])))

    def written(self) -> Mapping[Path, Place]:
        """Return the paths of all values that were written, each with its place."""
        return self._document.places

    def resolved(self) -> dict[str, Any]:
        """Return plain values from which the equal model is read again: no `extends`, defaults written out."""
        return self.model_dump(mode="json", exclude_none=True)


def no_truth(value: Any) -> Any:
    """Refuse true and false where a number is meant."""
    if isinstance(value, bool):  # Python's True equals 1
        raise PydanticKnownError("int_type")
    return value


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
OddKernel = Annotated[Literal[1, 3, 5, 7], BeforeValidator(no_truth)]
Pooling = Literal["max", "avg", "none"]


def told(faults: Iterable[tuple[Path, str]]) -> None:
    """Raise one error for all of the `faults`, the path below the model and the message of each, if there are any."""
    listed = list(faults)
    if listed:
        raise PydanticCustomError("broken_rules", "{faults}", {"faults": listed})


def broken_rule(field: str | Path, message: str) -> PydanticCustomError:
    """Return an error that names the field, or the path below the model, which breaks a rule between fields."""
    path = (field,) if isinstance(field, str) else field
    return PydanticCustomError("broken_rule", "{message}", {"message": message, "path": path})
