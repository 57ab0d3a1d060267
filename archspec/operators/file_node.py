"""What a row may ask of a node of a model file, whichever format it stands in.

The readers keep what is a format's own: where it says a padding, in which order dimensions stand,
which constants a file computes. They stand right of the rows, which get a node and import no
reader.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

Feature = Any
"""A tensor that depends on the image: `shape` is (N, C, H, W) or (N, C)."""
Weight = Any
"""A constant that is learned: `dims` is its shape."""
Read = Callable[["FileNode"], Any]
"""Gives the feature that a node gives, several in a tuple, or None where it is another row's."""

CHANNEL_SCALE, CHANNEL_SHIFT = "norm's scale", "norm's shift"
"""Parts that multiply each channel by a weight of its own, or add one to it."""
PARTS: Mapping[str, tuple[str, ...]] = {
    CHANNEL_SCALE: ("channels",),
    CHANNEL_SHIFT: ("channels",),
    **dict.fromkeys(("plus", "times", "from", "power"), ("value",)),
    **dict.fromkeys(("greater", "at_least", "at_most"), ("value",)),
    **dict.fromkeys(("sqrt", "reciprocal", "erf", "mean"), ()),
    **dict.fromkeys(("subtract", "divide", "select"), ()),
}
"""What is no operator by itself but may be a part of one, and the attributes that it has."""


@dataclass(frozen=True, slots=True)
class SlidingFilters:
    """What a convolution is, whichever format says it."""

    x: Feature
    """What it reads, (N, C, H, W)."""
    weights: Sequence[Weight]
    """Its filters, and perhaps a bias."""
    attrs: Mapping[str, Any]
    """Of its window and its filters."""
    pixels: tuple[int, int]
    """Height and width that it gives."""


class FileNode(Protocol):
    """A node about to become an operator."""

    @property
    def kind(self) -> str:
        """What the format calls it."""

    @property
    def inputs(self) -> tuple[Any, ...]:
        """What it reads: features, weights, and what a file computes beside."""

    @property
    def attrs(self) -> Mapping[str, Any]:
        """Its attributes as they stand in the file."""

    @property
    def outputs(self) -> int:
        """How many of its outputs have a name; of an ONNX alone."""

    def refuse(self, why: str) -> NoReturn:
        """Say that it does what an operator here does not; `why` is the predicate."""

    # ---- what it reads

    def has(self, index: int) -> bool:
        """Return whether an input is given."""

    def feature(self, index: int = 0, dims: int = 0) -> Feature:
        """Return an input that must depend on the image, and have so many dimensions."""

    def any_feature(self, index: int = 0) -> Feature:
        """Return the same, wherever its channels stand."""

    def channels_last(self, *axes: int) -> Feature:
        """Return the first input, whose last dimension must be its channels and all these axes."""

    def is_channel_axis(self, x: Feature, axis: Any) -> bool:
        """Return whether an axis is that of the channels."""

    def is_feature(self, value: Any) -> bool:
        """Return whether a value is a feature by itself, and no part of one."""

    def weight(self, index: int, dims: int) -> Weight:
        """Return an input that must be a weight of so many dimensions."""

    def channel_weight(self, index: int, x: Feature) -> Weight:
        """Return an input that is a weight with one value for each channel of x, else None."""

    def is_weight(self, value: Any) -> bool:
        """Return whether a value is a constant that the file has."""

    def turned(self, weight: Weight) -> Weight:
        """Return a matrix with rows for columns."""

    def single_number(self, index: int) -> float | None:
        """Return an input that is one number, else None."""

    def option(self, name: str, index: int, default: Any = None) -> Any:
        """Return a setting: an attribute, or the constant input of this index."""

    def number(self, name: str, usual: float, index: int | None = None) -> float:
        """Return a setting that is a number, as a person would write it: an attribute, or with an
        index the constant input of that.
        """

    def size(self, name: str, index: int) -> int:
        """Return a setting that must be the same in height and width; of a MINDIR alone."""

    def decimal(self, value: float) -> float:
        """Return a stored number as a person would write it."""

    def text(self, name: str, usual: str) -> str:
        """Return an attribute that is a word."""

    def is_pending(self, what: str) -> bool:
        """Return whether the first input is part of what several nodes come to."""

    def maker(self, x: Feature) -> Any:
        """Return the operator that gives a feature: its `kind`, `inputs` and `attrs`."""

    # ---- what it becomes

    def elementwise(self, kind: str, index: int = 0, /, **attrs: Any) -> Feature:
        """Add an operator that changes each value of an input by itself."""

    def in_place(
        self, kind: str, x: Feature, /, weights: Sequence[Weight] = (), **attrs: Any
    ) -> Feature:
        """Add an operator that gives the shape which it reads."""

    def like(self, x: Feature, made: Feature) -> Feature:
        """Return what was made, with its channels where x has them."""

    def op(
        self,
        kind: str,
        inputs: Sequence[Feature],
        shape: tuple[Any, ...],
        /,
        weights: Sequence[Weight] = (),
        **attrs: Any,
    ) -> Feature:
        """Add an operator whose output has this shape."""

    def add_bias(self, made: Feature, bias: Weight) -> None:
        """Note that an operator has a bias too."""

    def note_variance(self, made: Feature, variance: Weight) -> None:
        """Note which of a norm's weights is the variance."""

    def blame(self, made: Feature, why: str) -> None:
        """Refuse the node unless nothing reads what it gives."""

    # ---- windows and pixels

    def mirrors_edges(self) -> bool:
        """Return whether it reads a padding that mirrors the edges, as a blur does."""

    def sliding_filters(self) -> SlidingFilters:
        """Return what a convolution reads and has."""

    def enlarging_filters(self) -> SlidingFilters:
        """Return what a transposed convolution reads and has."""

    def blur(self, kind: str) -> Feature:
        """Add a blur, if the filters are the binomial one."""

    def padded_map(self, is_maximum: bool = False) -> Feature:
        """Return the first input with the padding before it, which must be zeros, and harmless to
        a maximum.
        """

    def covers(self, x: Feature) -> bool:
        """Return whether a pool's window is all of a map of several pixels."""

    def leaves_padding_out(self) -> bool:
        """Return whether a pool counts the pixels of the map alone."""

    def pool(self, kind: str, x: Feature, /, **attrs: Any) -> Feature:
        """Add a pool over windows, with attributes beside those of its window."""

    def global_pool(self, kind: str) -> Feature:
        """Add a pool over all pixels that leaves one."""

    def reduce_pixels(self, kind: str) -> Feature | None:
        """Add a pool over all pixels, if these are the dimensions that are taken away."""

    def is_before(self, opset: int) -> bool:
        """Return whether an ONNX is of an earlier version than this."""

    def enlarging_factor(self, x: Feature) -> int:
        """Return how many times higher and wider a map becomes, a whole number."""
