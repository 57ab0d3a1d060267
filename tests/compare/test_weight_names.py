"""Names of operators in files, compared on demand:
those of ONNX files that PyTorch writes, and others'.
"""

from pathlib import Path

import onnx
from readers.onnx_styles import STYLES, densenet, written

from archspec.compare.compare import Comparison, compare
from archspec.graph.build import build_graph
from archspec.readers.onnx.read import read_onnx
from archspec.spec.load import load_spec

SMALL = [
    "block_config=[2,3]",
    "growth_rate=4",
    "input.height=32",
    "input.width=32",
    "head.num_classes=10",
]
SPEC = build_graph(load_spec("densenet121", SMALL))


def compared(model: onnx.ModelProto, path: Path, *, named: bool = True) -> Comparison:
    onnx.save(model, path)
    return compare(SPEC, read_onnx(path), named=named)


def renamed(model: onnx.ModelProto, old: str, new: str) -> onnx.ModelProto:
    """Another name of all tensors that begin with the old one."""
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = [name.replace(old, new) for name in names]
    for tensor in model.graph.initializer:
        tensor.name = tensor.name.replace(old, new)
    return model


def test_each_other_name_is_told_and_only_on_demand(tmp_path: Path) -> None:
    """A convolution and a transition's, by what the spec calls them."""
    model = written(densenet([2, 3], 4, (3, 32, 32), 10), STYLES["torch"])[0]
    model = renamed(
        renamed(model, "features.conv0", "backbone.stem"), "transition1.conv", "transition1.squeeze"
    )
    assert [
        difference.message for difference in compared(model, tmp_path / "n.onnx").differences
    ] == [
        "features.conv0 is called backbone.stem in the file",
        "features.transition1.conv is called features.transition1.squeeze in the file",
    ]
    assert compared(model, tmp_path / "n.onnx", named=False).equal


def test_weights_without_names_are_noted_and_no_difference(tmp_path: Path) -> None:
    """Exporters number what they store once: here all but the convolutions' filters."""
    found = compared(
        written(densenet([2, 3], 4, (3, 32, 32), 10), STYLES["torch"])[0], tmp_path / "n.onnx"
    )
    assert found.equal
    numbered = sum(op.kind in ("batch_norm", "dense") for op in SPEC.ops.values())
    assert (
        f"the file has no names for the weights of {numbered} operators: not compared there"
        in found.notes
    )


def test_names_of_another_network_are_not_asked_for(tmp_path: Path) -> None:
    """It is told what differs, and no more."""
    model = renamed(
        written(densenet([2, 4], 4, (3, 32, 32), 10), STYLES["torch"])[0], "features", "backbone"
    )
    lines = [difference.message for difference in compared(model, tmp_path / "n.onnx").differences]
    assert "block 2 has 4 layers, the spec says 3" in lines
    assert not [line for line in lines if "called" in line]
