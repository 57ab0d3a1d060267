"""Which networks do torchvision, timm and MindCV build, whose names weights are written in?"""

from __future__ import annotations

from archspec.errors import ArchspecError
from archspec.graph.build import build_graph
from archspec.graph.digest import structure_digest
from archspec.graph.ir import Graph
from archspec.spec.spec import Spec


def is_built_by_libraries(spec: Spec, graph: Graph) -> bool:
    """Return whether the class `DenseNet` that all three have builds a network: one of the paper's
    table 1, with any growth rate, blocks, filters of the stem, bottleneck, classes and dropout.
    """
    stem = graph.ops.get("features.conv0")
    if stem is None or "out_channels" not in stem.attrs:
        return False
    wanted = {
        "input": spec.input.model_dump(),
        "stem": {"channels": stem.attrs["out_channels"]},
        "growth_rate": spec.growth_rate,
        "blocks": [{"layers": block.layers} for block in spec.blocks],
        "bottleneck": spec.bottleneck,
        "drop_rate": spec.drop_rate,
        "head": {"num_classes": spec.head.num_classes},
    }
    try:
        theirs = build_graph(Spec.model_validate(wanted))
    except (ArchspecError, ValueError):  # no growth rate for all, or an image too small for it
        return False
    return structure_digest(theirs) == structure_digest(graph)
