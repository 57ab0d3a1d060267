"""How the layers of a block are connected, as the spec says it;
archspec/connectivity_rules.py has the rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from typing_extensions import Self

from archspec.connectivity_rules import RULES, Order, has_bypass
from archspec.settings import Path, Share, SpecModel, broken_rule

# The rules are one table: mypy cannot read its names, pydantic makes the choices of them.
if TYPE_CHECKING:
    RuleName = str
else:
    RuleName = Literal[tuple(RULES)]

_NEEDED = tuple(rule.needs for rule in RULES.values() if rule.needs)
"""Keys that a rule takes, and that stand for it."""
Source = Annotated[int, Field(strict=True, ge=0, le=4_096)]
Sources = Annotated[tuple[Source, ...], Field(min_length=1, max_length=4_097)]


class ConnectivitySpec(SpecModel):
    """A rule's name, `log`, or a mapping of settings.

    Sources count from 0, the block's input; layers from 1.
    """

    rule: RuleName | None = None
    """`dense` where absent, or what `window` or `edges` say."""
    window: Annotated[int, Field(strict=True, ge=1, le=4_096)] | None = None
    """Layer i reads the last `window` sources before it."""
    edges: Annotated[tuple[Sources, ...], Field(min_length=1, max_length=4_096)] | None = None
    """The sources of each layer, `[[0], [0, 1], [2, 1]]`, joined as they are written."""
    order: Order | None = None
    """In which a rule's layers join their sources, and the output its own: from the block's input
    on, as torchvision, or from the last layer back, as the authors of HarDNet and SparseNet;
    oldest_first where absent."""
    output_order: Order | None = None
    """In which the output joins its sources; as `order` says where absent."""
    share: Share | None = None
    """Of the input's channels, those that go through the layers; the others go round them, straight
    to the output. All where absent;
    half of them for cross_stage_partial, which is dense otherwise."""
    bypass: Literal["first", "last"] | None = None
    """Where the output has what goes round the layers: before what they give (timm), which holds
    where absent, or behind it (the authors of CSPNet)."""
    output: Literal["all", "new", "last"] | Sources | None = None
    """What the output joins: all sources, the new ones (no input), the last layer, or a list,
    joined as it is written; else as the rule says."""

    @model_validator(mode="after")
    def _check_settings_of_rule(self) -> Self:
        needed = RULES[self.kind].needs
        for key in _NEEDED:
            if getattr(self, key) is not None and key != needed:
                owner = next(name for name, rule in RULES.items() if rule.needs == key)
                rule = f"{key} is a setting of the rule {owner}, not of {self.kind}"
                raise broken_rule(key, rule)
        if needed and getattr(self, needed) is None:
            raise broken_rule("rule", f"the rule {self.kind} needs the key {needed}")
        return self

    @model_validator(mode="after")
    def _check_bypass(self) -> Self:
        if self.bypass and not has_bypass(self):
            raise broken_rule(
                "bypass", "bypass needs a share, the rest of which goes round the layers"
            )
        return self

    @model_validator(mode="after")
    def _check_orders(self) -> Self:
        if self.order is not None and self.edges is not None:
            raise broken_rule("order", "order is a rule's; edges are joined as they are written")
        if self.output_order is not None and isinstance(self.output, tuple):
            rule = "a list of sources is joined as it is written"
            raise broken_rule("output_order", f"output_order beside a list does nothing: {rule}")
        if self.output_order is not None and self.output == "last":
            raise broken_rule("output_order", "output_order does nothing: the last layer is alone")
        return self

    @model_validator(mode="after")
    def _check_sources(self) -> Self:
        for layer, sources in enumerate(self.edges or (), start=1):
            wrong = [source for source in sources if source >= layer]
            if wrong:
                last = f"0 to {layer - 1}" if layer > 1 else "0, the block's input"
                raise broken_rule(
                    "edges", f"edges: layer {layer} cannot read {wrong[0]}; before it are {last}"
                )
            if len(set(sources)) < len(sources):
                raise broken_rule("edges", f"edges: layer {layer} reads a source twice")
        return self

    @model_validator(mode="after")
    def _check_each_once(self) -> Self:
        if isinstance(self.output, tuple) and len(set(self.output)) < len(self.output):
            raise broken_rule("output", "output: a source is listed twice")
        return self

    def misfits(self, layers: int) -> Iterator[tuple[Path, str]]:
        """Yield what does not fit a block of so many layers: the path below, and the rule."""
        if self.edges is not None and len(self.edges) != layers:
            entries = "1 entry" if len(self.edges) == 1 else f"{len(self.edges)} entries"
            yield ("edges",), f"edges (={entries}) must have one for each of the layers (={layers})"
        if isinstance(self.output, tuple) and max(self.output) > layers:
            yield ("output",), f"output (={max(self.output)}): the block has layers 1 to {layers}"

    @property
    def kind(self) -> RuleName:
        """The rule's name."""
        said = (name for name, rule in RULES.items() if rule.needs and getattr(self, rule.needs))
        return self.rule or next(said, next(iter(RULES)))

    @property
    def is_newest_first(self) -> bool:
        """Whether layers join their sources from the last one back."""
        return self.order == "newest_first"

    @property
    def is_output_newest_first(self) -> bool:
        """Whether the output joins its sources from the last one back."""
        return (self.output_order or self.order) == "newest_first"

    @property
    def size(self) -> int:
        """How many sources a window holds."""
        assert self.window is not None
        return self.window


def _accept_bare_rule(value: Any) -> Any:
    return {"rule": value} if isinstance(value, str) else value


Connectivity = Annotated[ConnectivitySpec, BeforeValidator(_accept_bare_rule)]
