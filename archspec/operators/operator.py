"""What is known of a kind of operator: what its row can say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

from archspec.operators.attributes import STATISTICS, Attrs, never
from archspec.operators.file_node import Read
from archspec.operators.language_step import Step
from archspec.operators.mindspore_writing import MindSpore
from archspec.operators.onnx_writing import WriteOnnx
from archspec.operators.shape_rules import Shape, ShapeFault, same_shape

_SOME_MAP = (2, 5, 3)


def _no_tensors(attrs: Attrs) -> Mapping[str, Shape]:
    return {}


def _no_macs(attrs: Attrs, inputs: Sequence[Shape], output: Shape) -> int:
    return 0


def _no_other_kind(attrs: Attrs) -> tuple[str, Attrs] | None:
    return None


def _not_two_in_a_row(attrs: Attrs, behind: Attrs, channels: int) -> bool:
    return False


def _as_it_is(attrs: Attrs) -> str:
    return ""


def _never_idle(attrs: Attrs, channels: int) -> bool:
    return False


def _no_fault(attrs: Attrs) -> str:
    return ""


def always_idle(attrs: Attrs, channels: int) -> bool:
    """Say of an operator that it does something in training alone."""
    return True


def declared_or_same(attrs: Attrs, inputs: Sequence[int]) -> int:
    """Return the channels that an operator declares, else as many as it reads."""
    return int(attrs.get("out_channels", inputs[0]))


def each_alone(attrs: Attrs, parts: Sequence[Any]) -> Any:
    """Channel c depends on channel c alone; `parts` are `Reach`es."""
    return parts[0]


@dataclass(frozen=True, slots=True)
class Operator:
    """What is known of a kind of operator."""

    kind: str
    shape: Callable[[Attrs, Sequence[Shape]], Shape]
    """Of its output, (C, H, W) or (C,), or a `ShapeFault`."""
    mindspore: MindSpore = field(default_factory=MindSpore)
    arity: int | None = 1
    """Number of inputs; None: one or more."""
    commutes: bool = False
    """What it reads may stand in any order."""
    verb: str = ""
    """Of a join: what it does with several values, in messages."""
    channels: Callable[[Attrs, Sequence[int]], int] = declared_or_same
    """Of its output, where pixels are not known."""
    tensors: Callable[[Attrs], Mapping[str, Shape]] = _no_tensors
    """Its parameters' shapes by role, as MindSpore calls them, moving statistics included."""
    macs: Callable[[Attrs, Sequence[Shape], Shape], int] = _no_macs
    """Multiply-accumulates, of convolutions and dense layers alone (torchvision's `_ops`)."""
    carries: bool = True
    """A direct connection runs through it:
    it selects, orders or rescales features but makes no new ones."""
    family: str = ""
    """`activation`, `norm` or `pool`:
    what may stand in for one another, and is said by one step."""
    about: str = ""
    """Of an activation: what becomes of x; of a norm: which values it norms
    together; of a join: what it gives."""
    required: tuple[str, ...] = ()
    """Attributes that it must have."""
    defaults: Attrs = field(default_factory=dict)
    """What attributes are that are absent; None: a file that does not say it is right too."""
    in_training: frozenset[str] = frozenset()
    """Attributes that change nothing in evaluation."""
    unsaid: Mapping[str, str] = field(default_factory=dict)
    """Attributes that a file may have and no spec says, unless they are the default: and what the
    operator is then, in words that follow its name."""
    untold: frozenset[str] = frozenset()
    """Attributes that are None where a model file does not tell them."""
    of_one_channel: Attrs = field(default_factory=dict)
    """What its attributes are where each channel is looked at by itself, `CHANNEL_COUNTS` aside."""
    has_filters: bool = False
    """It makes its channels by weights, which may be all zero."""
    standardizes: Callable[[Attrs], bool] = never
    """Its filters are made of its weights wherever it is used: these alone are not what filters."""
    folds_norm: bool = False
    """A batch norm behind it may be folded into its weights."""
    folds_scale: bool = False
    """A batch norm behind it may be folded into its fixed filters, which leaves a scale there."""
    mixes: Callable[[Attrs], bool] = never
    """Each output reads all channels, by weights of its own: their order is the weights' own."""
    axis_read: int = 1
    """Of the weight of what mixes: the dimension that runs over what it reads, of the first two."""
    tells_places: Callable[[Attrs], bool] = never
    """What it does to a channel depends on the channel's place."""
    reach: Callable[[Attrs, Sequence[Any]], Any] = each_alone
    """What each channel depends on:
    of `Reach`es (archspec/certify/reach.py), one for each input."""
    enlarges: bool = False
    """It gives more pixels than it reads."""
    resizes: bool = False
    """It may give another number of pixels than it reads."""
    is_idle: Callable[[Attrs, int], bool] = _never_idle
    """It gives what it reads, so many channels, as they are, in evaluation."""
    keeps_one_pixel: Callable[[Attrs], bool] = never
    """Of a map of one pixel it gives the value of each channel as it is, if it gives one pixel or
    none."""
    over_vector: Callable[[Attrs], tuple[str, Attrs] | None] = _no_other_kind
    """The kind that it is over a vector, which a map of one pixel may become, and its attributes;
    None: its own."""
    cuts_pixels: bool = False
    """It leaves some of the pixels out; where it leaves out none, it is nothing."""
    over_whole_map: str = ""
    """The kind that it is as well where its window is the whole map."""
    is_read_as_whole: bool = False
    """Readers give it as that kind where the map has several pixels."""
    over_one_pixel: str = ""
    """The kind that it is as well over a map of one pixel."""
    is_clamp: bool = False
    """It cuts off what is below zero."""
    is_never_negative: bool = False
    """It gives nothing below zero."""
    same_as: Callable[[Attrs], str] = _as_it_is
    """The kind that it is as well with these attributes, which has no more of them;
    '' where none is."""
    case_of: str = ""
    """The kind of which it is a case: that of which `same_as` may say this one."""
    undone_by: str = ""
    """The kind of operator with the same attributes that gives back what this one has read."""
    undoes_itself: Callable[[Attrs, Attrs, int], bool] = _not_two_in_a_row
    """Two in a row with these attributes give back so many channels as the first has read them."""
    is_product: bool = False
    """It multiplies what it reads: the second, such as a gate, scales the first."""
    is_gate: bool = False
    """It gives shares between 0 and 1, which scale something else."""
    times_input: str = ""
    """The kind of operator that its input times its output is: a SiLU, of a sigmoid."""
    keeps_sign: bool = False
    """It gives nothing below zero where it reads nothing below zero."""
    onnx_of_int8: str = ""
    """What its node is called in an ONNX, where that is quantised to 8 bits."""
    keeps_logits: bool = False
    """Logits stay logits behind it."""
    hint: str = ""
    """The likely cure where shapes do not fit."""
    step: Step | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of an activation or a norm: settings of its own with their defaults."""
    fault: Callable[[Attrs], str] = _no_fault
    """The rule that several of these settings break together, in words; '' for none."""
    other_names: tuple[str, ...] = ()
    """What others call it, where that is another word than ours."""
    names_with: Mapping[str, str] = field(default_factory=dict)
    """What others call it with a setting, and that setting as its step has it."""
    other_keys: Mapping[str, str] = field(default_factory=dict)
    """What others call its settings, and what to write here."""
    interval: Callable[[Attrs], tuple[float, float]] | None = None
    """Of what leaves values as they are between two bounds, and cuts off the rest: the bounds. They
    are its settings if it has any."""
    scales_channels: bool = False
    """It multiplies each channel by a weight of its own, as all norms do."""
    remains_of: Mapping[str, Attrs] = field(default_factory=dict)
    """Parts of operators in files (`PARTS` in file_node.py) that are this one where they complete
    no other, each with the attributes that it has beside the part's."""
    patterns: tuple[tuple[Attrs, Any], ...] = ()
    """How files write it out in several operators (archspec/readers/fusion.py),
    and the attributes that tells."""
    mindir: Mapping[str, Read] = field(default_factory=dict)
    """Primitives of MindSpore that are this operator, each with what reads it of a node.

    Several rows may name one; the first whose reading gives something has the node."""
    onnx: Mapping[str, Read] = field(default_factory=dict)
    """Operators of ONNX that are this one, in the same way."""
    write_onnx: WriteOnnx | None = None
    """Adds its nodes to an ONNX that is being written; None: it has none."""

    @property
    def said(self) -> Mapping[str, str]:
        """The language's setting that says an attribute, by the attribute; widths left out."""
        if self.step is None:
            return {key: key for key in self.settings}
        return {attribute: setting for setting, attribute in self.step.said.items()}

    @property
    def axis_made(self) -> int:
        """Of the weight of what mixes: the dimension that runs over what it gives."""
        return 1 - self.axis_read

    @property
    def is_cut_by_zeros(self) -> bool:
        """A weight of zero cuts its channel off: what scales and norms multiply with."""
        return self.scales_channels or self.family == "norm"

    @property
    def has_statistics(self) -> bool:
        """It is a norm with moving statistics: evaluation, which takes these in place of a batch's
        own, has it as a scale and a shift of each channel, and so may a file.
        """
        if self.family != "norm":
            return False
        return not self.tensors({**self.settings, "channels": 1}).keys().isdisjoint(STATISTICS)

    @property
    def is_by_value(self) -> bool:
        """It does to each value what it does to one by itself, of a map or of a vector; and so do
        the parts that it is in files.
        """
        return self.shape is same_shape or bool(self.remains_of)

    @property
    def is_over_all_pixels(self) -> bool:
        """It makes one value of all pixels of a channel, whatever its attributes."""
        if self.arity != 1:
            return False
        try:
            shape = self.shape(self.defaults, [_SOME_MAP])
        except (KeyError, ShapeFault):  # it depends on more, or reads no map
            return False
        return shape in ((_SOME_MAP[0],), (_SOME_MAP[0], 1, 1))

    @property
    def is_of_training(self) -> bool:
        """It does nothing in evaluation, whatever its attributes."""
        return self.is_idle is always_idle

    def params(self, attrs: Attrs) -> int:
        """Return the number of learnable values."""
        tensors = self.tensors(attrs).items()
        return sum(prod(shape) for role, shape in tensors if role not in STATISTICS)

    def stats(self, attrs: Attrs) -> int:
        """Return the number of moving statistics, which no gradient changes."""
        tensors = self.tensors(attrs).items()
        return sum(prod(shape) for role, shape in tensors if role in STATISTICS)
