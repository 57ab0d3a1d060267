"""Weights of one file into another: recognised, matched with the network of a spec, written in the names asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from archspec.errors import ArchspecError, Diagnostic, ModelFileError
from archspec.files import write_atomic
from archspec.graph.build import build_graph
from archspec.graph.parameters import Parameter, parameters
from archspec.spec.connectivity import Order
from archspec.spec.load import is_users_choice
from archspec.spec.model import Spec
from archspec.verifiers.verify import verified
from archspec.weights.concat_orders.join_order import (
    Ordered,
    as_said,
    as_witnessed,
    is_oldest_first,
)
from archspec.weights.faulty_values import faults_of
from archspec.weights.formats import ckpt
from archspec.weights.formats.number_types import Floats
from archspec.weights.formats.weight_files import Weights, check_target, read_weights, write_tensors
from archspec.weights.pairing.by_order import paired_by_order
from archspec.weights.pairing.matching import fitted
from archspec.weights.pairing.name_rules import load_rules, renamed
from archspec.weights.pairing.naming import TITLES, recognise, their_names
from archspec.weights.pairing.suggest import suggested

OURS = "mindspore"
NAMED = 3
"""Things that a line names."""


@dataclass(frozen=True)
class Converted:
    """What a conversion found."""

    tensors: Mapping[str, Floats]
    """By our names, in the network's order."""
    kind: str
    """Of file: `torch .pth file`."""
    naming: str
    """In words: `MindCV's`, `by order`."""
    pairs: Mapping[str, str]
    """The file's name of each tensor -> ours."""
    set_aside: Mapping[str, int]
    """What else the file holds: the first part of the names, and how many begin so."""
    remarks: tuple[str, ...]
    """What to know of it: whose the number of classes is, what of the file was not run."""

    @property
    def params(self) -> int:
        """Learnable values."""
        return sum(tensor.size for tensor in self.tensors.values()) - self.stats

    @property
    def stats(self) -> int:
        """Moving statistics."""
        return sum(tensor.size for name, tensor in self.tensors.items() if ".moving_" in name)


def convert(
    file: Path,
    spec: Spec,
    output: Path | None = None,
    *,
    source: str | None = None,
    target: str = OURS,
    rules: Path | None = None,
    by_order: bool = False,
    suggest: Path | None = None,
    any_classes: bool = False,
    force: bool = False,
    order: Order | None = None,
    like: Path | None = None,
) -> Converted:
    """Read a file of weights for the network of a spec, and write it in another naming.

    Args:
        file: a MindSpore checkpoint, .safetensors or torch .pth.
        spec: where nobody chose its number of classes, the file's is taken.
        output: .ckpt or .safetensors; None: nothing is written.
        source: a key of `NAMINGS`; None: recognised.
        target: a key of `NAMINGS`.
        rules: a file of rules, applied to the file's names before its naming is recognised.
        by_order: pair tensors by order instead.
        suggest: where to write the pairing as rules.
        any_classes: the file's number of classes is taken whatever the spec says.
        force: take weights that are NaN, infinite, or variances below zero too.
        order: that in which the file's network joins feature maps; None: the spec's.
        like: an ONNX model, or an .npz of an input and its output, that settles the order.

    Raises:
        EnvironmentFault: E001, E009, what `like` needs is not installed.
        ModelFileError: R001, R002, R003, R010..R014; R110, weights that are no numbers.
        SpecError: the rules are not rules.
        ArchspecError: W001, W002.
    """
    _check_output(file, output)
    weights = read_weights(file)
    spec, classes = _with_classes_of(weights, spec, any_classes)
    graph = verified(build_graph(spec))
    wanted = parameters(graph)
    pairing = (
        _by_order(weights, wanted, file)
        if by_order
        else _by_names(weights, wanted, file, source, rules)
    )
    broken = faults_of(weights.tensors, pairing.pairs, graph, str(file))
    if broken and not force:
        raise ModelFileError(broken)
    named = {name: weights.tensors[theirs] for theirs, name in pairing.pairs.items()}
    ordered = _in_order({name: named[name] for name in wanted}, spec, pairing, order, like, file)
    foreign = _in_foreign_names(target, spec)
    spoken = (classes, pairing.remark, ordered.remark, _forced(broken), _unrun(weights.foreign))
    converted = Converted(
        ordered.tensors,
        weights.kind,
        pairing.naming,
        pairing.pairs,
        _counted(weights.set_aside),
        tuple(filter(None, (*spoken, foreign))),
    )
    _write(converted, output, target, suggest)
    return converted


@dataclass(frozen=True)
class _Pairing:
    """The file's names and ours."""

    pairs: Mapping[str, str]
    naming: str
    """In words."""
    remark: str = ""
    known: str = ""
    """The key of the naming, where the file's own names follow one."""


def _check_output(file: Path, output: Path | None) -> None:
    if output is None:
        return
    check_target(output)
    if output.exists() and file.exists() and output.samefile(file):
        raise ArchspecError.one("W002", "would replace the file that is read", str(output))


def _with_classes_of(weights: Weights, spec: Spec, any_classes: bool) -> tuple[Spec, str]:
    """The spec, with the file's number of classes where nobody said one, and a line that says so."""
    dense = [tensor.shape for tensor in weights.tensors.values() if tensor.ndim == 2]
    if len(dense) != 1 or (is_users_choice(spec, ("head", "num_classes")) and not any_classes):
        return spec, ""
    classes = dense[0][0]
    if classes == spec.head.num_classes or classes < 1:
        return spec, ""
    remark = f"{classes} classes as in the file; {spec.name} has {spec.head.num_classes} where nothing else is said"
    head = spec.head.model_copy(update={"num_classes": classes})
    return spec.model_copy(update={"head": head}), remark


def _by_order(weights: Weights, wanted: Mapping[str, Parameter], file: Path) -> _Pairing:
    found = paired_by_order(weights.tensors, wanted, str(file))
    return _Pairing(found.pairs, "by order", found.remark)


def _by_names(
    weights: Weights,
    wanted: Mapping[str, Parameter],
    file: Path,
    source: str | None,
    rules: Path | None,
) -> _Pairing:
    """By rules and a naming."""
    names = dict.fromkeys(weights.tensors)
    given = (
        renamed(names, load_rules(rules), str(file)) if rules else {name: name for name in names}
    )
    found = recognise(tuple(given.values()), wanted, str(file), source)
    shapes = {theirs: wanted[name].shape for name, theirs in found.theirs.items()}
    fitted({given[name]: tensor for name, tensor in weights.tensors.items()}, shapes, str(file))
    own = {new: name for name, new in given.items()}
    title = TITLES[found.naming] + (f", each after {found.prefix!r}" if found.prefix else "")
    pairs = {own[theirs]: name for name, theirs in found.theirs.items()}
    return _Pairing(pairs, title, known="" if rules else found.naming)


def _in_order(
    tensors: Mapping[str, Floats],
    spec: Spec,
    pairing: _Pairing,
    order: Order | None,
    like: Path | None,
    file: Path,
) -> Ordered:
    """The weights, their channels in the order in which the spec's network joins feature maps."""
    if like is not None:
        return as_witnessed(tensors, spec, order, like, str(file))
    is_settled = pairing.known != "" and is_oldest_first(spec)
    return as_said(tensors, spec, order, is_settled, str(file))


def _in_foreign_names(target: str, spec: Spec) -> str:
    """A line where the names that are written stand for networks that join in another order."""
    if target == OURS or is_oldest_first(spec):
        return ""
    return f"networks of the names of {TITLES[target]} join the oldest first, {spec.name} does not"


def _forced(broken: Sequence[Diagnostic]) -> str:
    messages = [fault.message for fault in broken[:NAMED]]
    more = "; ..." if broken[NAMED:] else ""
    return f"taken by force: {'; '.join(messages)}{more}" if messages else ""


def _unrun(foreign: tuple[str, ...]) -> str:
    """A line that says which classes and functions were left alone."""
    if not foreign:
        return ""
    named = ", ".join(repr(name[:60])[1:-1] for name in foreign[:NAMED])
    more = f" and {len(foreign) - NAMED:,} more" if foreign[NAMED:] else ""
    return f"the file asks for {named}{more} beside its numbers; nothing of it was run"


def _counted(names: tuple[str, ...]) -> dict[str, int]:
    counters = ("num_batches_tracked",)
    heads = (
        name.rpartition(".")[2] if name.endswith(counters) else name.partition(".")[0]
        for name in names
    )
    return dict(Counter(heads))


def _write(converted: Converted, output: Path | None, target: str, suggest: Path | None) -> None:
    if suggest is not None:
        try:
            write_atomic(suggest, suggested(converted.pairs))
        except OSError as error:
            raise ArchspecError.one(
                "W002", f"cannot be written: {ckpt.reason(error)}", str(suggest)
            ) from None
    if output is not None:
        theirs = their_names(target, converted.tensors)
        write_tensors(output, {theirs[name]: tensor for name, tensor in converted.tensors.items()})
