"""What a network must give to be trained: logits of an image's classes, or of each pixel's, as its
last weights make them.
"""

from __future__ import annotations

from collections.abc import Iterator

from archspec.errors import Diagnostic, TrainingError
from archspec.graph.build import build_graph
from archspec.graph.ir import Graph, Op
from archspec.graph.shapes import infer_shapes
from archspec.operators.shape_rules import Shape
from archspec.operators.table import OPERATORS, STEPS
from archspec.settings import Path
from archspec.spec.spec import Spec
from archspec.train.data.sources.mask_classes import check_fit_masks

_CHANGES_LOGITS = frozenset(
    {"activation", "norm", "squeeze_excite", "branches"}
    | {name for name, row in STEPS.items() if not (row.keeps_logits or row.has_filters)}
)
"""Kinds of steps that may hold an operator which does not keep logits."""
_HINTS = {
    False: "no features, and a head that ends with global_pool and dense",
    True: "no features, head: per_pixel, and steps that lead back to the size of the image",
}
"""By whether each pixel has a class."""
_HINTS_AT_OTHERS = {
    False: "classes of each pixel are learnt from masks: --data-dir with train/images, train/masks",
    True: "head: per_pixel, behind steps that keep the size of the image or lead back to it",
}
"""Where the network fits the other kind of data."""


def tells_pixels(spec: Spec) -> bool:
    """Return whether a network gives classes of each pixel, rather than of the image; maps that it
    gives beside them count for nothing.

    Raises:
        GraphError: the spec's graph breaks a rule.
    """
    graph = build_graph(spec)
    shapes, _ = infer_shapes(graph)
    ranks = [len(shapes[name]) for name in graph.outputs]
    has_head = bool(spec.head.steps_resolved())
    return ranks[-1] == 3 and (has_head or len(ranks) == 1)


def check_logits(spec: Spec, graph: Graph, *, per_pixel: bool = False) -> None:
    """Check that cross entropy, which takes a softmax itself, can read what a verified graph gives.

    Args:
        spec: the network's.
        graph: its own.
        per_pixel: whether each pixel of an image has a class, or the image.

    Raises:
        TrainingError: T014, something else than logits of the images' classes, or of the pixels',
            or of more classes than masks tell;
            T015, logits behind an activation, a norm or dropout, which hold back what is learnt.
    """
    if per_pixel:
        check_fit_masks(spec)
    shapes, _ = infer_shapes(graph)
    given = [shapes[name] for name in graph.outputs]
    of_image = (spec.head.num_classes,)
    of_pixels = (*of_image, spec.input.height, spec.input.width)
    wanted, other = (of_pixels, of_image) if per_pixel else (of_image, of_pixels)
    if given != [wanted]:
        shown = ", ".join(map(_format_shape, given))
        hint = _HINTS[per_pixel]
        if given == [other]:
            hint = _HINTS_AT_OTHERS[per_pixel]
        rule = f"gives {shown}; to be trained it must give {_format_shape(wanted)} logits alone"
        if per_pixel:
            rule += ", classes of each pixel, since the data are images and masks"
        raise TrainingError.one("T014", rule, spec.place(("head",), ("features",)), hint)
    faults = [
        Diagnostic(
            "T015",
            f"{op.name} ({op.kind}) stands behind the last weights; "
            "to be trained a network must give their logits",
            spec.place(*_suspect_places(spec)),
            f"leave the {op.kind} out: the loss takes its softmax itself, and so does predict",
        )
        for op in _walk_behind_weights(graph)
    ]
    if faults:
        raise TrainingError(faults)


def _format_shape(shape: Shape) -> str:
    return " x ".join(map(str, shape))


def _walk_behind_weights(graph: Graph) -> Iterator[Op]:
    """Walk back from the output; yield each operator that changes logits, the last first."""
    # Breadth first, so that what stands nearest to the output is told first.
    waiting, seen = [*graph.outputs], set[str]()
    while waiting:
        op = graph.ops[waiting.pop(0)]
        if op.name in seen or _makes_features(op):
            continue
        seen.add(op.name)
        row = OPERATORS[op.kind]
        if not row.keeps_logits:
            yield op
        # A gate is an activation, but what it scales is not.
        waiting.extend(op.inputs[:1] if row.is_product else op.inputs)


def _makes_features(op: Op) -> bool:
    """Where the way back from the output ends: what comes before may be whatever it likes."""
    row = OPERATORS[op.kind]
    return row.has_filters or row.arity == 0


def _suspect_places(spec: Spec) -> Iterator[Path]:
    """Where the head says it: its last step that may be meant, else the whole."""
    steps = spec.head.steps_resolved()
    for index in reversed(range(len(steps))):
        if steps[index].kind in _CHANGES_LOGITS:
            yield ("head", "steps", index)
            break
    yield from (("head", "steps"), ("head",))
