"""A whole document, a spec or a recipe, as a model that knows where each value was written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import PrivateAttr

from archspec.errors import Place
from archspec.settings import Path, SpecModel
from archspec.spec.reading.document import Document


class WrittenModel(SpecModel):
    """A whole document, which knows where each of its values was written."""

    KIND: ClassVar[str] = "spec"
    """What the document is called."""
    FOREIGN_KEYS: ClassVar[Mapping[str, str]] = {}
    """What others call a key, in small letters, and its path here."""

    # Private: what a model is does not depend on where it was written.
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
        """Return plain values from which the equal model is read again:
        no `extends`, defaults written out.
        """
        return self.model_dump(mode="json", exclude_none=True)
