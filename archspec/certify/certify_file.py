"""Is a model file the network that its spec says? What `densenet certify` prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from archspec.certify.certificate import Certificate, make_certificate
from archspec.certify.float_weights import compare_float_weights
from archspec.certify.implied_clamps import read_as_the_specs
from archspec.certify.liveness import Liveness, check_liveness
from archspec.certify.optimized_file import Side, list_sides
from archspec.certify.probe import Probe, probe_connections
from archspec.certify.rounding import try_rounding
from archspec.compare.compare import Comparison, compare
from archspec.errors import ModelFileError
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph
from archspec.readers.frontends import frontend_of
from archspec.readers.onnx.read import OnnxReading
from archspec.readers.reading import Reading, filters_in
from archspec.readers.tensors import Stored
from archspec.spec.catalogue import locate
from archspec.spec.load import is_users_choice, spec_of, take_classes_of_file
from archspec.spec.override import Overrides
from archspec.spec.spec import Spec
from archspec.verifiers.verify import verify_or_raise


def certify_file(
    file: str | Path,
    spec: str | Path | Spec,
    overrides: Overrides = (),
    *,
    ordered: bool = False,
    names: bool = False,
    probe: bool = False,
    optimized: bool = False,
    tensors: Mapping[str, Any] | None = None,
) -> Certificate:
    """Return what is known of a model file beside a spec:
    whether they are equal, else every difference. Height and width that the file leaves free are
    the spec's.

    Args:
        file: a MINDIR or an ONNX.
        spec: a shipped name, a path or a Spec; where nobody chose its number of classes, the file's
            is taken.
        overrides: as for `load_spec`, where `spec` is a name or a path.
        ordered: concatenations in another order are a difference, not a note.
        names: what has weights must be called as in the spec, too.
        probe: run each layer of an ONNX, and see whether it moves with what it reads.
        optimized: take it too where it lacks what the spec's slices cut off everywhere, or has one
            operator for several of the spec's with equal weights; see `archspec.compare.optimized`.
        tensors: the network's weights by `create_model`'s names: filters and biases of the file
            must be these, but for rounding.

    Raises:
        SpecError: the spec breaks a rule.
        GraphError: its graph does.
        EnvironmentFault: E001, MindSpore is not installed, which a MINDIR needs; E009, nor is
            onnxruntime, which `probe` needs.
        ModelFileError: R005..R008, the file cannot be read, or not probed; R009, it joins more
            values than any spec may.
    """
    path, chosen = Path(file), spec_of(spec, overrides)
    frontend = frontend_of(path)
    if probe and not frontend.runs_in_onnx_runtime:
        raise ModelFileError.one("R006", "is no ONNX, and nothing else can be probed", str(path))
    size = chosen.input
    reading = frontend.read(path, (size.height, size.width))
    _check_weights_beside(reading, path)
    wanted, remark = _with_classes_of(reading.graph, chosen)
    graph = verify_or_raise(build_graph(wanted))
    sides = [*list_sides(graph, reading)] if optimized else [Side(graph, reading)]
    compared = [_compare(path, side, ordered=ordered, names=names) for side in sides]
    # The first that is equal; else the one of the fewest differences.
    comparison, side = min(compared, key=_count_differences)
    reading = side.reading
    liveness = check_liveness(comparison.match, reading, path) if comparison.is_equal else None
    probed, skipped = _probe(liveness, side, path) if probe else (None, "")
    rounding = None
    if liveness and isinstance(reading, OnnxReading):
        rounding = try_rounding(comparison.match, reading, path)
    given = None
    if liveness and tensors is not None:
        given = compare_float_weights(comparison.match, reading, path, tensors)
        if rounding and not given.differences and not given.left_out:
            rounding = replace(rounding, has_given_weights=True)
    return make_certificate(
        path,
        graph,
        comparison,
        *(*reading.notes, remark, *side.notes, skipped),
        spec_file=None if isinstance(spec, Spec) else locate(str(spec)),
        liveness=liveness,
        rounding=rounding,
        given=given,
        probe=probed,
    )


def _probe(liveness: Liveness | None, side: Side, path: Path) -> tuple[Probe | None, str]:
    """What running each layer shows; None, and why, where that cannot be asked."""
    if liveness is None:
        return None, "not probed: the network is another one"
    if side.is_parted or not isinstance(side.reading, OnnxReading):
        return None, "not probed: operators stand for several"
    found = probe_connections(liveness, side.reading, path)
    if not found.probed and found.not_run:
        rule = f"cannot be probed, no part of it runs by itself: {found.not_run[0]}"
        raise ModelFileError.one("R006", rule, str(path), "leave out --probe")
    return found, ""


def _check_weights_beside(reading: Reading, path: Path) -> None:
    if not isinstance(reading, OnnxReading):
        return
    places = [tensor.source for tensor in reading.model.constants.values()]
    if any(isinstance(place, Stored) and place.file for place in places):
        import onnx

        from archspec.writers.onnx.onnx_files import check_beside

        check_beside(path, onnx.load(path, load_external_data=False))


def _compare(path: Path, side: Side, *, ordered: bool, names: bool) -> tuple[Comparison, Side]:
    """How what was read of a file differs from a spec's graph, and as what it was read."""
    found = _compare_once(path, side, ordered=ordered, names=names)
    other = side if found.is_equal else read_as_the_specs(side, found.match)
    if other is side:
        return found, side
    return _compare_once(path, other, ordered=ordered, names=names), other


def _compare_once(path: Path, side: Side, *, ordered: bool, names: bool) -> Comparison:
    reading = side.reading
    found = compare(
        side.graph,
        reading.graph,
        ordered=ordered,
        named=names,
        zero_biases=reading.zero_biases,
        norms_shift=reading.norms_shift,
        filters_of=filters_in(path, reading),
        copies=side.copies,
    )
    return replace(found, params=found.params - side.copied)


def _count_differences(compared: tuple[Comparison, Side]) -> int:
    return len(compared[0].differences)


def _with_classes_of(found: Graph, spec: Spec) -> tuple[Spec, str]:
    """The spec, with the file's number of classes where nobody said one,
    and a line that says so.
    """
    last = found.ops[found.outputs[-1]]
    classes = last.attrs["out_channels"] if last.kind == "dense" else spec.head.num_classes
    if is_users_choice(spec, ("head", "num_classes")):
        return spec, ""
    return take_classes_of_file(spec, classes)
