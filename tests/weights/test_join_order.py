"""A checkpoint does not say in which order its network joins: that is said, and settled."""

import re
import socket
import zipfile
from pathlib import Path

import numpy as np
import onnx
import oracle
import pytest
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file
from weights.networks import OWN_RULES, own_name, weights_of
from weights.torch_files import save

from archspec.errors import ArchspecError
from archspec.graph.build import build_graph
from archspec.spec.load import load_spec
from archspec.spec.spec import Spec
from archspec.weights.concat_orders.join_order import with_order
from archspec.weights.convert import Conversion, convert_file
from archspec.weights.pairing.naming import translate_names

CASES = Path(__file__).parents[1] / "cases"
SMALL = load_spec(str(CASES / "small_net.yaml"))
NEWEST = with_order(SMALL, "newest_first")
RECORDED = CASES / "newest_first.pth"
NOTE = (
    "a checkpoint does not say in which order its network joins feature maps; taken as {}; "
    "--order or --like settles it"
)


def off(spec: Spec, found: Conversion, recorded: str = "newest_first") -> float:
    """How far the spec's network is, with the converted weights, from what torch gave."""
    arrays = np.load(CASES / f"{recorded}.npz")
    output = oracle.forward(build_graph(spec).ops.values(), found.tensors, arrays["x"])
    return oracle.distance(output, arrays["y"])


def fault(*arguments, **options) -> str:
    with pytest.raises(ArchspecError) as caught:
        convert_file(*arguments, **options)
    return str(caught.value)


def test_an_order_that_is_said_gives_what_torch_gave():
    """cat([out, x]) in the file: put in the spec's order, or left where that is the file's."""
    found = convert_file(RECORDED, SMALL, by_order=True, order="newest_first")
    assert off(SMALL, found) < 1e-5
    assert found.remarks == (
        "the file joins newest_first, the spec oldest_first: channels of 25 tensors were put "
        "in the spec's order",
    )
    found = convert_file(RECORDED, NEWEST, by_order=True, order="newest_first")
    assert (off(NEWEST, found) < 1e-5, found.remarks) == (True, ())
    found = convert_file(CASES / "lists_apart.pth", NEWEST, by_order=True, order="oldest_first")
    assert off(NEWEST, found, "lists_apart") < 1e-5


def test_an_order_that_nobody_said_is_told():
    """The weights are taken as the spec joins, which is wrong here, and said."""
    found = convert_file(RECORDED, SMALL, by_order=True)
    assert found.remarks == (NOTE.format("oldest_first"),)
    assert off(SMALL, found) > 0.1
    assert convert_file(RECORDED, NEWEST, by_order=True).remarks == (NOTE.format("newest_first"),)


def test_names_that_are_known_settle_it(tmp_path):
    """Torchvision's, timm's, MindCV's join the oldest first,
    and so does ours unless its spec says otherwise.
    """
    spec = load_spec("densenetbc_digits")
    weights, file = weights_of("densenetbc_digits"), tmp_path / "x.safetensors"
    for naming in ("mindspore", "mindcv", "torchvision", "torchvision_old"):
        theirs = translate_names(naming, weights)
        save_file({theirs[name]: tensor for name, tensor in weights.items()}, file)
        assert convert_file(file, spec).remarks == ()
    newest = with_order(spec, "newest_first")
    assert convert_file(file, newest).remarks == (NOTE.format("newest_first"),)
    save_file(weights, file)
    assert convert_file(file, newest).remarks == (NOTE.format("newest_first"),)
    remarks = convert_file(file, newest, target="torchvision").remarks
    assert "join the oldest first, densenetbc_digits does not" in remarks[-1]
    save_file({own_name(name): tensor for name, tensor in weights.items()}, file)
    (tmp_path / "map.yaml").write_text(OWN_RULES)
    assert (
        NOTE.format("oldest_first") in convert_file(file, spec, rules=tmp_path / "map.yaml").remarks
    )


def test_nothing_is_told_where_no_order_matters(tmp_path):
    """A chain, whose output is the last layer."""
    (tmp_path / "chain.yaml").write_text(
        "input: {height: 8, width: 8}\ngrowth_rate: 4\nblock_config: [3]\nhead: {num_classes: 10}\n"
        "stem: {kernel: 3, stride: 1, pool: none}\nlayer: post_activation\n"
        "connectivity: {rule: one_shot, output: last}\n"
    )
    spec = load_spec(str(tmp_path / "chain.yaml"))
    tensors = oracle.random_parameters(build_graph(spec).ops.values(), 0)
    file = save(tmp_path / "x.pth", {own_name(name): tensor for name, tensor in tensors.items()})
    assert convert_file(file, spec, by_order=True).remarks == ()


def test_an_order_that_cannot_be_undone_is_refused(tmp_path):
    """By the operator, with what to write instead; nothing is written."""
    (tmp_path / "groups.yaml").write_text(
        "extends: densenetbc_digits\n"
        "layer: [norm, activation, conv: {width: k, kernel: 3, groups: 4}]\n"
    )
    spec = load_spec(str(tmp_path / "groups.yaml"))
    tensors = oracle.random_parameters(build_graph(spec).ops.values(), 0)
    file, out = tmp_path / "x.safetensors", tmp_path / "out.safetensors"
    save_file(tensors, file)
    assert fault(file, spec, out, order="newest_first") == (
        f"{file} R014 joins newest_first, and features.denseblock1.denselayer2.conv1 cannot read "
        "its channels in another order (write the file's order into the spec: "
        "connectivity: {order: ...})"
    )
    assert not out.exists()


@pytest.mark.parametrize(
    "given", [None, "oldest_first", pytest.param("newest_first", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("recorded", ["newest_first", "lists_apart"])
def test_a_witness_settles_the_order(recorded, given, tmp_path):
    """Whatever was said first; MindSpore runs the network."""
    truth = "newest_first" if recorded == "newest_first" else "oldest_first"
    like = CASES / f"{recorded}.npz"
    found = convert_file(CASES / f"{recorded}.pth", SMALL, by_order=True, order=given, like=like)
    assert off(SMALL, found, recorded) < 1e-5
    assert any(remark.startswith(f"joined {truth}, the network gives") for remark in found.remarks)


def test_an_onnx_model_is_a_witness(tmp_path):
    """It is run on random images of the spec's size; its batch is open."""
    (tmp_path / "tiny.yaml").write_text(
        "input: {height: 8, width: 8}\ngrowth_rate: 4\nnorm: none\nblock_config: [1]\n"
        "stem: [conv: {width: 4, kernel: 1}]\nlayer: [conv: {width: k, kernel: 1}]\n"
        "head: {steps: [global_pool, {name: classifier, dense: {}}], num_classes: 3}\n"
    )
    spec = load_spec(str(tmp_path / "tiny.yaml"))
    tensors = oracle.random_parameters(build_graph(spec).ops.values(), 0)
    save_file(tensors, tmp_path / "x.safetensors")
    onnx.save(newest_first_model(tensors), tmp_path / "like.onnx")
    found = convert_file(tmp_path / "x.safetensors", spec, like=tmp_path / "like.onnx")
    assert found.remarks[0].startswith("joined oldest_first with outputs newest_first, the")
    moved = found.tensors["classifier.weight"]
    assert np.array_equal(moved, np.roll(tensors["classifier.weight"], 4, 1))


def newest_first_model(tensors, shape=("N", 3, 8, 8), inputs=("x",)) -> onnx.ModelProto:
    """The network of the test above, with cat([out, x])."""
    nodes = [
        helper.make_node("Conv", ["x", "stem"], ["a"]),
        helper.make_node("Conv", ["a", "layer"], ["b"]),
        helper.make_node("Concat", ["b", "a"], ["c"], axis=1),
        helper.make_node("GlobalAveragePool", ["c"], ["d"]),
        helper.make_node("Flatten", ["d"], ["e"]),
        helper.make_node("Gemm", ["e", "weight", "bias"], ["y"], transB=1),
    ]
    names = ["stem", "layer", "weight", "bias"]
    held = [numpy_helper.from_array(t, n) for n, t in zip(names, tensors.values(), strict=True)]
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in inputs]
    made = helper.make_tensor_value_info("y", TensorProto.FLOAT, [shape[0], 3])
    graph = helper.make_graph(nodes, "g", given, [made], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


MODELS = {
    "larger images": ((1, 3, 16, 16), ("x",), "R014 has an input of (1, 3, 16, 16), the spec's"),
    "a batch": ((10**6, 3, 8, 8), ("x",), "R014 reads 1,000,000 images at once"),
    "two inputs": ((1, 3, 8, 8), ("x", "z"), "R014 has inputs of [1, 3, 8, 8], [1, 3, 8, 8], and"),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_that_read_something_else_are_refused(name, tmp_path):
    """Before they are run."""
    shape, inputs, words = MODELS[name]
    spec = load_spec("densenetbc_digits", {"input.channels": 3})
    tensors = oracle.random_parameters(build_graph(spec).ops.values(), 0)
    save_file(tensors, tmp_path / "x.safetensors")
    rng = np.random.default_rng(0)
    shapes = [(4, 3, 1, 1), (4, 4, 1, 1), (3, 8), (3,)]
    held = {k: rng.normal(size=sizes).astype(np.float32) for k, sizes in enumerate(shapes)}
    onnx.save(newest_first_model(held, shape, inputs), tmp_path / "like.onnx")
    line = fault(tmp_path / "x.safetensors", spec, like=tmp_path / "like.onnx")
    assert line.startswith(f"{tmp_path}/like.onnx {words}")


def test_a_witness_of_another_network_is_refused(tmp_path):
    """With the smallest difference that was found; nothing is written."""
    out = tmp_path / "out.safetensors"
    line = fault(
        CASES / "lists_apart.pth", SMALL, out, by_order=True, like=CASES / "newest_first.npz"
    )
    assert re.search(
        r"R014 gives the output of .* in no order of its joins; the nearest is off by 0\.\d+ of",
        line,
    )
    assert not out.exists()


ONE = np.ones((1, 3, 32, 32))
ARRAYS = {
    "another size": (np.ones((2, 3, 64, 64)), np.ones((2, 10)), "R014 has an input of (2, 3, 64"),
    "no batch": (ONE[0], np.ones(10), "R014 has an input of (3, 32, 32), the spec's network reads"),
    "classes": (ONE, np.ones((1, 7)), "R014 has an output of (1, 7), the network gives (1, 10)"),
    "outputs": (ONE, np.ones((2, 10)), "R014 has 1 image and an output of (2, 10)"),
    "no image": (ONE[:0], np.ones((0, 10)), "R014 has 0 images"),
    "NaN": (ONE, np.full((1, 10), np.nan), "R014 holds numbers that are NaN"),
    "words": (np.array(["a"]), np.zeros(3), "R002 is no whole .npz of numbers"),
    "objects": (np.array([{}], object), np.zeros(3), "R002 is no whole .npz of numbers"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_are_no_witness_are_refused(name, tmp_path):
    """By what they are and what they should be."""
    x, y, words = ARRAYS[name]
    like = tmp_path / "like.npz"
    np.savez(like, x=x, y=y)
    assert fault(RECORDED, SMALL, by_order=True, like=like).startswith(f"{like} {words}")
    np.savez(like, a=x, b=y)
    line = fault(RECORDED, SMALL, by_order=True, like=like)
    assert line.startswith(f"{like} R014 holds 'a, b' and not x and y (np.savez")


def test_files_that_are_no_witness_are_refused(tmp_path):
    """Absent, a folder, a pipe's like, text, damaged, and ONNX that does not run."""
    with zipfile.ZipFile(tmp_path / "cut.npz", "w") as made:
        made.writestr("x.npy", b"\x93NUMPY")
        made.writestr("y.npy", b"")
    (tmp_path / "text").write_text("growth_rate: 8\n")
    (tmp_path / "bad.onnx").write_bytes(b"\x08\x07\x12\x07pytorch\x1a\x06")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for name, words in (
            ("none", "R001 cannot be read: No such file"),
            (".", "R001 cannot be read: Is a directory"),
            ("socket", "R001 is a socket, no file"),
            ("text", "R002 is no witness of a network"),
            ("cut.npz", "R002 is no whole .npz"),
            ("bad.onnx", "R006 ONNX Runtime: "),
        ):
            line = fault(RECORDED, SMALL, by_order=True, like=tmp_path / name)
            assert line.startswith(f"{tmp_path / name} {words}")


def test_input_and_output_are_names_too_and_few_images_are_run(tmp_path):
    """Of a hundred the first eight."""
    arrays = np.load(CASES / "newest_first.npz")
    many = {"input": np.tile(arrays["x"], (50, 1, 1, 1)), "output": np.tile(arrays["y"], (50, 1))}
    np.savez_compressed(tmp_path / "like.npz", **many)
    found = convert_file(RECORDED, SMALL, by_order=True, like=tmp_path / "like.npz")
    assert off(SMALL, found) < 1e-5
