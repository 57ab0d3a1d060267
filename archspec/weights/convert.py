"""Weights of one file into another:
recognised, matched with the network of a spec, written in the names asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from archspec.connectivity_rules import Order
from archspec.errors import ArchspecError, Diagnostic, ModelFileError, make_printable
from archspec.files import write_atomic
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph
from archspec.graph.parameters import Parameter, list_parameters
from archspec.spec.load import is_users_choice, spec_of, take_classes_of_file
from archspec.spec.override import Overrides
from archspec.spec.spec import Spec
from archspec.verifiers.verify import verify_or_raise
from archspec.weights.concat_orders.join_order import (
    OrderedWeights,
    is_oldest_first,
    reorder_as_said,
    reorder_as_witnessed,
)
from archspec.weights.faulty_values import find_faulty_values
from archspec.weights.formats import ckpt
from archspec.weights.formats.number_types import Floats
from archspec.weights.formats.weight_files import Weights, check_target, read_weights, write_tensors
from archspec.weights.grey_stem import fit_stem
from archspec.weights.library_networks import is_built_by_libraries
from archspec.weights.pairing.by_order import pair_by_order
from archspec.weights.pairing.classifier_weights import count_classes, pair_classifier
from archspec.weights.pairing.matching import match_shapes
from archspec.weights.pairing.name_rules import load_rules, rename_by_rules
from archspec.weights.pairing.naming import TITLES, recognise_naming, translate_names
from archspec.weights.pairing.suggest import suggest_rules

OURS = "mindspore"
MAX_NAMED = 3
"""Things that a line names."""


@dataclass(frozen=True)
class Conversion:
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
    adaptations: tuple[str, ...] = ()
    """Those of the remarks that say which weights were taken, and how they were made to fit."""

    @property
    def params(self) -> int:
        """Learnable values."""
        return sum(tensor.size for tensor in self.tensors.values()) - self.stats

    @property
    def stats(self) -> int:
        """Moving statistics."""
        return sum(tensor.size for name, tensor in self.tensors.items() if ".moving_" in name)


def convert_file(
    file: str | Path,
    spec: str | Path | Spec,
    output: str | Path | None = None,
    *,
    overrides: Overrides = (),
    source: str | None = None,
    target: str = OURS,
    rules: str | Path | None = None,
    by_order: bool = False,
    suggest: str | Path | None = None,
    any_classes: bool = False,
    force: bool = False,
    order: Order | None = None,
    like: str | Path | None = None,
    ema: bool = False,
) -> Conversion:
    """Read a file of weights for the network of a spec, and write it in another naming.

    Args:
        file: a MindSpore checkpoint, .safetensors or torch .pth.
        spec: a shipped name, a path or a Spec; where nobody chose its number of classes, the file's
            is taken.
        overrides: as for `load_spec`, where `spec` is a name or a path.
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
        ema: take the file's moving averages of weights instead of the plain ones.

    Raises:
        EnvironmentFault: E001, E009, what `like` needs is not installed.
        ModelFileError: R001, R002, R003, R010..R014; R110, weights that are no numbers.
        SpecError: the spec breaks a rule, or the rules are not rules.
        GraphError: the spec's graph breaks a rule.
        ArchspecError: W001, W002.
    """
    file, output = Path(file), _path(output)
    spec = spec_of(spec, overrides)
    _check_output(file, output)
    weights = read_weights(file, ema)
    how = _Request(
        source, target, _path(rules), by_order, any_classes, force, order, like=_path(like)
    )
    converted = _convert(weights, spec, file, how)
    _write_files(converted, output, target, _path(suggest))
    return converted


@dataclass(frozen=True)
class _Request:
    """How weights are converted; see `convert_file`."""

    source: str | None
    target: str
    rules: Path | None
    by_order: bool
    any_classes: bool
    force: bool
    order: Order | None
    like: Path | None


def _convert(weights: Weights, spec: Spec, file: Path, how: _Request) -> Conversion:
    """The weights that a file holds, as the spec's network has them."""
    spec, classes = _take_classes(weights, spec, how.any_classes)
    graph = verify_or_raise(build_graph(spec))
    fitted, stem = fit_stem(weights.tensors, graph)
    weights = replace(weights, tensors=fitted)
    wanted = list_parameters(graph)
    pairing = _pair(weights, wanted, file, how)
    broken = find_faulty_values(weights.tensors, pairing.pairs, graph, str(file))
    if broken and not how.force:
        raise ModelFileError(broken)
    named = {name: weights.tensors[theirs] for theirs, name in pairing.pairs.items()}
    tensors = {name: named[name] for name in wanted}
    ordered = _put_in_order(tensors, spec, pairing, file, how)
    adaptations = _leave_empty_out(weights.choice, pairing.classifier, stem)
    remarks = (
        classes,
        *adaptations,
        pairing.remark,
        ordered.remark,
        _remark_forced(broken),
        _remark_unrun(weights.foreign),
        _remark_foreign_names(how.target, spec, graph),
    )
    return Conversion(
        ordered.tensors,
        weights.kind,
        pairing.naming,
        pairing.pairs,
        _count_set_aside((*weights.set_aside, *pairing.beside)),
        _leave_empty_out(*remarks),
        adaptations,
    )


def _leave_empty_out(*remarks: str) -> tuple[str, ...]:
    return tuple(remark for remark in remarks if remark)


def _path(name: str | Path | None) -> Path | None:
    return None if name is None else Path(name)


@dataclass(frozen=True)
class _Pairing:
    """The file's names and ours."""

    pairs: Mapping[str, str]
    naming: str
    """In words."""
    remark: str = ""
    classifier: str = ""
    """A line where the file calls the classifier as no naming does."""
    beside: tuple[str, ...] = ()
    """Of the file's names those that stand beside the network's: a loss's."""
    known: str = ""
    """The key of the naming, where the file's own names follow one."""


def _check_output(file: Path, output: Path | None) -> None:
    if output is None:
        return
    check_target(output)
    if output.exists() and file.exists() and output.samefile(file):
        raise ArchspecError.one("W002", "would replace the file that is read", str(output))


def _take_classes(weights: Weights, spec: Spec, any_classes: bool) -> tuple[Spec, str]:
    """The spec, with the file's number of classes where nobody said one,
    and a line that says so.
    """
    if is_users_choice(spec, ("head", "num_classes")) and not any_classes:
        return spec, ""
    classes = count_classes(weights.tensors, spec)
    return take_classes_of_file(spec, classes) if classes else (spec, "")


def _pair(weights: Weights, wanted: Mapping[str, Parameter], file: Path, how: _Request) -> _Pairing:
    if not how.by_order:
        return _pair_by_names(weights, wanted, file, how)
    found = pair_by_order(weights.tensors, wanted, str(file))
    return _Pairing(found.pairs, "by order", found.remark)


def _pair_by_names(
    weights: Weights, wanted: Mapping[str, Parameter], file: Path, how: _Request
) -> _Pairing:
    """By rules and a naming."""
    given: Mapping[str, str] = {name: name for name in weights.tensors}
    if how.rules:
        given = rename_by_rules(given, load_rules(how.rules), str(file))
    found = recognise_naming(tuple(given.values()), wanted, str(file), how.source)
    tensors = {given[name]: tensor for name, tensor in weights.tensors.items()}
    theirs, classifier = pair_classifier(found.theirs, tensors, wanted)
    shapes = {theirs[name]: wanted[name].shape for name in wanted}
    beside = [name for name in tensors if not (name.startswith(found.prefix) or name in shapes)]
    of_network = {name: each for name, each in tensors.items() if name not in beside}
    match_shapes(of_network, shapes, str(file))
    own = {new: name for name, new in given.items()}
    pairs = {own[theirs[name]]: name for name in wanted}
    remark = f"{classifier!r} in the file was taken for the classifier" if classifier else ""
    known = "" if how.rules else found.naming
    return _Pairing(pairs, found.title, "", remark, tuple(beside), known)


def _put_in_order(
    tensors: Mapping[str, Floats], spec: Spec, pairing: _Pairing, file: Path, how: _Request
) -> OrderedWeights:
    """The weights, their channels in the order in which the spec's network joins feature maps."""
    if how.like is not None:
        return reorder_as_witnessed(tensors, spec, how.order, how.like, str(file))
    is_settled = pairing.known != "" and is_oldest_first(spec)
    return reorder_as_said(tensors, spec, how.order, is_settled, str(file))


def _remark_foreign_names(target: str, spec: Spec, graph: Graph) -> str:
    """A line where the names that are written stand for networks of another structure."""
    if target == OURS or is_built_by_libraries(spec, graph):
        return ""
    if not is_oldest_first(spec):
        title = TITLES[target]
        return f"networks of the names of {title} join the oldest first, {spec.name} does not"
    kind = "a DenseNet as ImageNet's are"
    return f"{spec.name} is not {kind}: no library builds the network of these names and weights"


def _remark_forced(broken: Sequence[Diagnostic]) -> str:
    messages = [fault.message for fault in broken[:MAX_NAMED]]
    more = "; ..." if broken[MAX_NAMED:] else ""
    return f"taken by force: {'; '.join(messages)}{more}" if messages else ""


def _remark_unrun(foreign: tuple[str, ...]) -> str:
    """A line that says which classes and functions were left alone."""
    if not foreign:
        return ""
    named = ", ".join(make_printable(name[:60]) for name in foreign[:MAX_NAMED])
    more = f" and {len(foreign) - MAX_NAMED:,} more" if foreign[MAX_NAMED:] else ""
    return f"the file asks for {named}{more} beside its numbers; nothing of it was run"


def _count_set_aside(names: tuple[str, ...]) -> dict[str, int]:
    """Optimizer state is told by the beginning of a name, a norm's counter by its end."""
    counts: Counter[str] = Counter()
    for name in names:
        if name.endswith("num_batches_tracked"):
            counts[name.rpartition(".")[2]] += 1
        else:
            counts[name.partition(".")[0]] += 1
    return dict(counts)


def _write_files(
    converted: Conversion, output: Path | None, target: str, suggest: Path | None
) -> None:
    if suggest is not None:
        try:
            write_atomic(suggest, suggest_rules(converted.pairs))
        except OSError as error:
            raise ArchspecError.one(
                "W002", f"cannot be written: {ckpt.explain_failure(error)}", str(suggest)
            ) from None
    if output is not None:
        theirs = translate_names(target, converted.tensors)
        write_tensors(output, {theirs[name]: tensor for name, tensor in converted.tensors.items()})
