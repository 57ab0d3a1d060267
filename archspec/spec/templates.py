"""Named templates: the lists of steps in specs/templates,
found by what they are for and by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Tag, TypeAdapter
from pydantic_core import PydanticKnownError

from archspec.spec.catalogue import specs_folder
from archspec.spec.reading.yaml_reader import read_file
from archspec.spec.steps import Step, Steps, StepSpec


@cache  # the files ship with the package and never change
def load_templates(kind: str) -> Mapping[str, tuple[StepSpec, ...]]:
    """Return the templates for `layers`, `stems`, `transitions` or `heads` by name."""
    document = read_file(specs_folder() / "templates" / f"{kind}.yaml")
    return TypeAdapter(dict[str, tuple[Step, ...]]).validate_python(document.value)


def resolve_steps(kind: str, given: str | tuple[StepSpec, ...]) -> tuple[StepSpec, ...]:
    """Return the steps of a template's name, or the steps themselves."""
    return load_templates(kind)[given] if isinstance(given, str) else given


def accept_bare_steps(value: Any) -> Any:
    """Return `{steps: value}` for a name or a list that stands in place of a part's settings."""
    return {"steps": value} if isinstance(value, (str, list, tuple)) else value


def _must_be_known(kind: str) -> Any:
    def check(name: str) -> str:
        if name not in load_templates(kind):
            raise PydanticKnownError(
                "literal_error", {"expected": ", ".join(map(repr, load_templates(kind)))}
            )
        return name

    return AfterValidator(check)


def _tag_of(value: Any) -> str:
    return "template" if isinstance(value, str) else "list"


# A template's name or a list of steps. The tags never show: validation_errors.py drops what is no
# key of the document.
LayerSteps = Annotated[
    Annotated[str, _must_be_known("layers"), Tag("template")] | Annotated[Steps, Tag("list")],
    Discriminator(_tag_of),
]
StemSteps = Annotated[
    Annotated[str, _must_be_known("stems"), Tag("template")] | Annotated[Steps, Tag("list")],
    Discriminator(_tag_of),
]
TransitionSteps = Annotated[
    Annotated[str, _must_be_known("transitions"), Tag("template")] | Annotated[Steps, Tag("list")],
    Discriminator(_tag_of),
]
HeadSteps = Annotated[
    Annotated[str, _must_be_known("heads"), Tag("template")] | Annotated[Steps, Tag("list")],
    Discriminator(_tag_of),
]
