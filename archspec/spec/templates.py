"""Named templates: the lists of steps in specs/templates, found by what they are for and by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Tag, TypeAdapter
from pydantic_core import PydanticKnownError

from archspec.spec.catalogue import specs_folder
from archspec.spec.reading.yaml_reader import read_file
from archspec.spec.steps import Step, Steps, StepSpec


@cache
def templates(kind: str) -> Mapping[str, tuple[StepSpec, ...]]:
    """Return the templates for `layers`, `stems`, `transitions` or `heads` by name."""
    document = read_file(specs_folder() / "templates" / f"{kind}.yaml")
    return TypeAdapter(dict[str, tuple[Step, ...]]).validate_python(document.value)


def steps_of(kind: str, given: str | tuple[StepSpec, ...]) -> tuple[StepSpec, ...]:
    """Return the steps of a template's name, or the steps themselves."""
    return templates(kind)[given] if isinstance(given, str) else given


def accept_bare_steps(value: Any) -> Any:
    """Return `{steps: value}` for a name or a list that stands in place of a part's settings."""
    return {"steps": value} if isinstance(value, (str, list, tuple)) else value


def _known(kind: str) -> Any:
    def check(name: str) -> str:
        if name not in templates(kind):
            raise PydanticKnownError(
                "literal_error", {"expected": ", ".join(map(repr, templates(kind)))}
            )
        return name

    return AfterValidator(check)


def _is_name(value: Any) -> str:
    return "template" if isinstance(value, str) else "list"


# A template's name or a list of steps. The tags never show: faults.py drops what is no key of the document.
LayerSteps = Annotated[
    Annotated[str, _known("layers"), Tag("template")] | Annotated[Steps, Tag("list")],
    Discriminator(_is_name),
]
StemSteps = Annotated[
    Annotated[str, _known("stems"), Tag("template")] | Annotated[Steps, Tag("list")],
    Discriminator(_is_name),
]
TransitionSteps = Annotated[
    Annotated[str, _known("transitions"), Tag("template")] | Annotated[Steps, Tag("list")],
    Discriminator(_is_name),
]
HeadSteps = Annotated[
    Annotated[str, _known("heads"), Tag("template")] | Annotated[Steps, Tag("list")],
    Discriminator(_is_name),
]
