"""ONNX files that are no valid graphs: all that ONNX Runtime refuses, and no others."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import densenet as command
from onnx import TensorProto, helper, numpy_helper
from readers.onnx_faults import FAULTS, spoilt
from readers.onnx_styles import STYLES, File, Style, densenet, finished, written
from readers.test_onnx_untrusted import field

from archspec.certify.liveness import check_liveness
from archspec.compare.compare import compare
from archspec.errors import ModelFileError
from archspec.graph.build import build_graph
from archspec.readers.onnx.checker import MAX_BYTES, refuse_invalid
from archspec.readers.onnx.read import onnx_reading
from archspec.spec.load import load_spec

SPEC = build_graph(load_spec("densenetbc_digits", ["block_config=[2,2]", "growth_rate=4"]))
STEPS = densenet([2, 2], 4, (1, 8, 8), 10, imagenet=False)
CHANGES = 50


def saved(model: Any, folder: Path) -> Path:
    file = folder / "model.onnx"
    file.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return file


def check(file: Path) -> None:
    refuse_invalid(file, onnx_reading(file).model)


def fault_of(model: Any, folder: Path) -> str:
    file = saved(model, folder)
    with pytest.raises(ModelFileError) as caught:
        check(file)
    (fault,) = caught.value.diagnostics
    assert (fault.code, fault.where) == ("R006", str(file))
    assert len(fault.message) < 500
    return fault.message


def refusal(content: bytes) -> str:
    """What ONNX Runtime says against a file, if anything."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no class in common
        return str(error)
    return ""


def verdict(file: Path) -> str:
    """What `certify` makes of a file."""
    try:
        reading = onnx_reading(file)
        refuse_invalid(file, reading.model)
    except ModelFileError as refused:
        return refused.diagnostics[0].code
    comparison = compare(
        SPEC, reading.graph, zero_biases=reading.zero_biases, norms_shift=reading.norms_shift
    )
    if not comparison.is_equal:
        return "different"
    return "equal" if not check_liveness(comparison.match, reading, file).differences else "dead"


@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12))]
)
def test_what_onnx_runtime_refuses_is_never_called_equal(seed: int, tmp_path: Path) -> None:
    """Attributes, inputs, outputs, names, types, versions and weights, changed at random."""
    rng, verdicts, wrong = random.Random(seed), Counter[str](), list[str]()
    for style in STYLES.values():
        whole = written(STEPS, style)[0]
        for _ in range(CHANGES):
            fault = rng.choice(FAULTS)
            content = spoilt(whole, fault, rng).SerializeToString()
            found = verdict(saved(content, tmp_path))
            verdicts[found] += 1
            said = refusal(content) if found == "equal" else ""
            wrong += [f"{fault.__name__}: {said}"] if said else []
    assert not wrong
    assert min(verdicts["equal"], verdicts["R006"], verdicts["R007"], verdicts["R008"]) > 30


# ---- valid


@pytest.mark.parametrize("style", STYLES)
def test_a_network_is_valid_in_every_style(style: str, tmp_path: Path) -> None:
    check(saved(written(STEPS, STYLES[style])[0], tmp_path))


def network(style: str = "torch", **others: Any) -> Any:
    return written(STEPS, replace(STYLES[style], **others))[0]


def without_shapes() -> Iterator[Any]:
    """What the outputs are said to be: nothing, or the wrong shape."""
    for shape in (None, [7], ["a", "b", "c"]):
        model = network()
        name = model.graph.output[0].name
        model.graph.output[0].CopyFrom(helper.make_tensor_value_info(name, 1, shape))
        yield model


def in_another_order() -> Iterator[Any]:
    model = network("view")
    nodes = list(model.graph.node)[::-1]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    yield model


def of_the_long_name() -> Iterator[Any]:
    """`ai.onnx` is the same as no domain."""
    model = network()
    model.opset_import[0].domain = "ai.onnx"
    yield model
    for node in model.graph.node:
        node.domain = "ai.onnx"
    yield model


def of_another_domain() -> Iterator[Any]:
    """Beside ONNX's own operators."""
    file = File(Style())
    model = finished(file, "x", ("N", 4, 8, 8), file.node("Gelu", "x", domain="com.microsoft"))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    yield model


def of_other_numbers() -> Iterator[Any]:
    """Halves, and lists of numbers in place of bytes."""
    for kind in (np.float16, None):
        model = network()
        for tensor in model.graph.initializer:
            values = numpy_helper.to_array(tensor)
            if kind is not None:
                tensor.CopyFrom(numpy_helper.from_array(values.astype(kind), tensor.name))
                continue
            listed = values.reshape(-1).tolist()
            tensor.CopyFrom(helper.make_tensor(tensor.name, 1, tensor.dims, listed))
        if kind is not None:
            for end in (model.graph.input[0], model.graph.output[0]):
                end.type.tensor_type.elem_type = TensorProto.FLOAT16
        yield model


def among_the_inputs() -> Iterator[Any]:
    """Weights, as before version 4 of the format."""
    model = network()
    for tensor in model.graph.initializer:
        dims = list(tensor.dims)
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, 1, dims))
    model.ir_version = 3
    yield model


def with_comments() -> Iterator[Any]:
    """PyTorch tells of each node where it comes from, in many words."""
    model = network()
    for node in model.graph.node:
        node.doc_string = "line\n" * 50_000
        node.metadata_props.add(key="stack_trace", value="line\n" * 50_000)
    yield model


VALID = (
    *(without_shapes, in_another_order, of_the_long_name, of_another_domain),
    *(of_other_numbers, among_the_inputs, with_comments),
)


@pytest.mark.parametrize("models", VALID)
def test_what_onnx_runtime_takes_is_valid(
    models: Callable[[], Iterator[Any]], tmp_path: Path
) -> None:
    """Whatever the checker would say of the whole file."""
    for model in models():
        assert refusal(model.SerializeToString()) == ""
        check(saved(model, tmp_path))


def test_weights_outside_the_file_need_not_be_there(tmp_path: Path) -> None:
    """A certificate says which could not be read; the graph is valid without."""
    for style in ("torch", "view"):
        model = network(style)
        constants = (n.attribute[0].t for n in model.graph.node if n.op_type == "Constant")
        for tensor in (*model.graph.initializer, *constants):
            if len(tensor.dims) == 4:
                tensor.ClearField("raw_data")
                tensor.data_location = TensorProto.EXTERNAL
                tensor.external_data.add(key="location", value="gone.data")
        check(saved(model, tmp_path))


# ---- invalid


def changed(change: Callable[[Any], object], style: str = "torch") -> Any:
    model = network(style)
    change(model)
    return model


def first(model: Any, kind: str) -> Any:
    return next(node for node in model.graph.node if node.op_type == kind)


def called_alike(model: Any) -> None:
    first(model, "Relu").name = first(model, "Concat").name = "twin"


def text_for_number(model: Any) -> None:
    node = first(model, "BatchNormalization")
    next(a for a in node.attribute if a.name == "momentum").CopyFrom(
        helper.make_attribute("momentum", "much")
    )


def half_a_weight(model: Any) -> None:
    """Beside weights of another type."""
    tensor = model.graph.initializer[-1]
    values = numpy_helper.to_array(tensor).astype(np.float16)
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def longer_values(model: Any) -> None:
    largest = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    largest.raw_data += b"\0\0\0\0"


def longer_listed_values(model: Any) -> None:
    """Whole numbers, of which each has its own length."""
    tensor = helper.make_tensor("spare", TensorProto.INT64, [3_000], range(3_000))
    tensor.int64_data.append(1)
    model.graph.initializer.append(tensor)


def no_bytes_beside_numbers(model: Any) -> None:
    tensor = model.graph.initializer[-1]
    values = numpy_helper.to_array(tensor)
    listed = helper.make_tensor(tensor.name, 1, values.shape, values.reshape(-1).tolist())
    listed.raw_data = b""
    tensor.CopyFrom(listed)


def other_input(model: Any) -> None:
    name = model.graph.initializer[0].name
    model.graph.input.append(helper.make_tensor_value_info(name, 1, [1, 2, 3]))


def no_version(model: Any) -> None:
    del model.opset_import[:]


def two_paddings(model: Any) -> None:
    first(model, "Conv").attribute.append(helper.make_attribute("auto_pad", "SAME_UPPER"))


def made_twice(model: Any) -> None:
    node = model.graph.node.add()
    node.CopyFrom(first(model, "Relu"))
    node.name = "again"


INVALID: list[tuple[Callable[[Any], object], str]] = [
    (called_alike, "2 nodes are called twin"),
    (text_for_number, "Mismatched attribute type in '/BatchNormalization"),
    (half_a_weight, "inconsistent type"),
    (longer_values, "are not"),
    (longer_listed_values, "the values of spare are not 3,000 of its type"),
    (no_bytes_beside_numbers, "are not 160 of its type"),
    (other_input, "is another input than its values"),
    (no_version, "must specify opset_import"),
    (lambda model: setattr(model.opset_import[0], "version", 99), "opset 99"),
    (lambda model: setattr(model, "ir_version", 999), "Your model ir_version 999 is higher"),
    (lambda model: first(model, "Relu").input.append("input"), "has input size 2 not in range"),
    (two_paddings, "has both auto_pad and pads"),
    (made_twice, "Graph must be in single static assignment"),
    (
        lambda model: first(model, "Relu").attribute.append(helper.make_attribute("axis", 1)),
        "Unrecognized attribute: axis for operator Relu",
    ),
]


@pytest.mark.parametrize(("change", "expected"), INVALID)
def test_what_is_invalid_is_said_in_one_line(
    change: Callable[[Any], object], expected: str, tmp_path: Path
) -> None:
    """In the checker's words, or ours where it looks away."""
    model = changed(change)
    said = fault_of(model, tmp_path)
    assert expected in said
    assert said.startswith("is no valid ONNX")
    if change not in (longer_listed_values, no_version):
        assert refusal(model.SerializeToString())


def test_certify_and_lift_refuse_it(tmp_path: Path) -> None:
    """Exit 1 and one line; nothing is written."""
    file = saved(changed(text_for_number), tmp_path)
    for arguments in (("certify", file, "densenetbc_digits"), ("lift", file)):
        ended = command(*arguments)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert ended.stderr.startswith(
            f"{file} R006 is no valid ONNX; onnx's checker says: Mismatched"
        )
        assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [7, 25])
def test_a_flood_of_small_messages_is_not_parsed(number: int, tmp_path: Path) -> None:
    """Nodes inside of a branch or a function, two bytes each: far more in memory."""
    flood = (
        b"\x0a\x00" * (MAX_BYTES // 2 + 1) if number == 7 else b"\x3a\x00" * (MAX_BYTES // 2 + 1)
    )
    content = network().SerializeToString()
    if number == 25:
        size = len(flood)
        length = bytes(
            [size & 127 | 128, size >> 7 & 127 | 128, size >> 14 & 127 | 128, size >> 21]
        )
        content += b"\xca\x01" + length + flood
    else:
        model = network()
        branch = field(1, b"then_branch") + field(6, flood) + b"\xa0\x01\x05"
        node = field(1, b"input") + field(2, b"unread") + field(4, b"If") + field(5, branch)
        graph = model.graph.SerializeToString() + field(1, node)
        content = (
            b"\x08\x08" + field(7, graph) + field(8, model.opset_import[0].SerializeToString())
        )
    assert f"beside nodes and weights it has more than {MAX_BYTES:,} bytes" in fault_of(
        content, tmp_path
    )


def test_graphs_inside_of_graphs_end_at_a_depth(tmp_path: Path) -> None:
    """Three hundred branches that nothing reads, each in the one before."""
    model, inner = network(), b""
    for _ in range(300):
        branch = field(1, b"then_branch") + field(6, inner) + b"\xa0\x01\x05"
        node = field(1, b"input") + field(2, b"unread") + field(4, b"If") + field(5, branch)
        inner = field(1, node)
    graph = field(7, model.graph.SerializeToString() + inner)
    content = b"\x08\x08" + graph + field(8, model.opset_import[0].SerializeToString())
    assert "is no valid ONNX, or is cut short" in fault_of(content, tmp_path)


def test_what_only_running_would_show_is_refused_too(tmp_path: Path) -> None:
    """A kernel that its weights do not have, a mode of a Pad that there is not,
    a type of numbers that is none.
    """
    steps = densenet([2, 2], 4, (3, 32, 32), 10)

    def kernel(model: Any) -> None:
        conv = next(node for node in model.graph.node if node.op_type == "Conv")
        shape = next(each for each in conv.attribute if each.name == "kernel_shape")
        shape.ints[:] = [3, 3]

    def mode(model: Any) -> None:
        relu = next(node for node in model.graph.node if node.op_type == "Relu")
        sizes = helper.make_tensor("sizes", TensorProto.INT64, [8], [0] * 8)
        pad = helper.make_node("Pad", ["/unpadded", "sizes"], [relu.output[0]], mode="banana")
        relu.output[0] = "/unpadded"
        at = list(model.graph.node).index(relu) + 1
        model.graph.node.insert(at, pad)
        model.graph.initializer.append(sizes)

    def number(model: Any) -> None:
        model.graph.initializer.add(name="unread", dims=[1], raw_data=bytes(4)).data_type = 77

    for change, code in ((kernel, "R008"), (mode, "R008"), (number, "R006")):
        model = written(steps, STYLES["torch"])[0]
        change(model)
        file = tmp_path / "model.onnx"
        file.write_bytes(model.SerializeToString())
        with pytest.raises(ModelFileError) as caught:
            refuse_invalid(file, onnx_reading(file).model)
        assert caught.value.diagnostics[0].code == code
