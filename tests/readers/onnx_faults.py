"""Changes of an ONNX file that a careless writer makes, most of which leave no valid file."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper

Model = Any
Fault = Callable[[Model, random.Random], object]

TYPES = tuple(range(1, 17))
KINDS = (
    *("Relu", "Conv", "Concat", "Identity", "Add", "Mul", "Reshape", "MaxPool", "Flatten", "Gemm"),
    *("Sigmoid", "Dropout", "Cast", "Softmax", "Sqrt", "Shape", "Transpose", "relu", "NoSuch"),
)


def _node(model: Model, rng: random.Random) -> Any:
    return rng.choice(model.graph.node)


def _attribute(model: Model, rng: random.Random) -> tuple[Any, Any]:
    node = rng.choice([node for node in model.graph.node if node.attribute])
    return node, rng.choice(node.attribute)


def _weight(model: Model, rng: random.Random) -> Any:
    """One that stands by itself or in a node."""
    nodes = [node for node in model.graph.node if node.op_type == "Constant"]
    return rng.choice([*model.graph.initializer, *(a.t for n in nodes for a in n.attribute)])


def _names(model: Model) -> list[str]:
    """Of all values."""
    made = [name for node in model.graph.node for name in node.output]
    return [*made, *(tensor.name for tensor in model.graph.initializer), model.graph.input[0].name]


def attribute_type(model: Model, rng: random.Random) -> None:
    """Another type, the value where it was; or another value of that type."""
    _, attribute = _attribute(model, rng)
    attribute.type = rng.choice(AttributeProto.AttributeType.values())


def attribute_value(model: Model, rng: random.Random) -> None:
    node, attribute = _attribute(model, rng)
    value: Any = rng.choice([0, 1, 7, -1, 0.5, "SAME", [1], [1, 1], [0, 0, 0, 0], [1.5], ["a"]])
    made = helper.make_attribute(attribute.name, value)
    node.attribute.remove(attribute)
    node.attribute.append(made)


def attribute_name(model: Model, rng: random.Random) -> None:
    _attribute(model, rng)[1].name = rng.choice(["axis", "alpha", "no_such", "", "kernel_shape"])


def attribute_more(model: Model, rng: random.Random) -> None:
    """One that the operator does not have, or one twice."""
    node, (_, other) = _node(model, rng), _attribute(model, rng)
    node.attribute.append(other)


def attribute_gone(model: Model, rng: random.Random) -> None:
    node, attribute = _attribute(model, rng)
    node.attribute.remove(attribute)


def input_gone(model: Model, rng: random.Random) -> None:
    node = _node(model, rng)
    if node.input:
        del node.input[rng.randrange(len(node.input))]


def input_more(model: Model, rng: random.Random) -> None:
    _node(model, rng).input.append(rng.choice([*_names(model), "", "nowhere"]))


def input_other(model: Model, rng: random.Random) -> None:
    node = _node(model, rng)
    if node.input:
        at = rng.randrange(len(node.input))
        node.input[at] = rng.choice([*_names(model), "", "nowhere"])


def output_more(model: Model, rng: random.Random) -> None:
    _node(model, rng).output.append(rng.choice(["spare", "", *_names(model)]))


def output_other(model: Model, rng: random.Random) -> None:
    """A name that another has."""
    node = _node(model, rng)
    node.output[0] = rng.choice([*_names(model), ""])


def name_twice(model: Model, rng: random.Random) -> None:
    _node(model, rng).name = _node(model, rng).name


def kind(model: Model, rng: random.Random) -> None:
    _node(model, rng).op_type = rng.choice(KINDS)


def domain(model: Model, rng: random.Random) -> None:
    _node(model, rng).domain = rng.choice(["ai.onnx", "com.microsoft", "my.ops", "ai.onnx.ml"])


def opset(model: Model, rng: random.Random) -> None:
    entry, version = model.opset_import[0], rng.choice([0, 1, 6, 9, 10, 12, 13, 18, 21, 99, -1])
    choices: Sequence[Callable[[], object]] = (
        lambda: setattr(entry, "version", version),
        lambda: setattr(entry, "domain", "my.ops"),
        lambda: model.opset_import.remove(entry),
        lambda: model.opset_import.append(helper.make_opsetid("", version)),
        lambda: model.opset_import.append(helper.make_opsetid("com.microsoft", 1)),
    )
    rng.choice(choices)()


def ir_version(model: Model, rng: random.Random) -> None:
    model.ir_version = rng.choice([0, 1, 2, 3, 4, 10, 99])


def weight_type(model: Model, rng: random.Random) -> None:
    """Said of the bytes that are there, or the values as that type."""
    tensor = _weight(model, rng)
    wanted = rng.choice(TYPES)
    if rng.random() < 0.5:
        tensor.data_type = wanted
        return
    values = numpy_helper.to_array(tensor)
    if wanted in (TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.INT64, TensorProto.INT32):
        made = values.astype(helper.tensor_dtype_to_np_dtype(wanted))
        tensor.CopyFrom(numpy_helper.from_array(made, tensor.name))


def weight_dims(model: Model, rng: random.Random) -> None:
    tensor = _weight(model, rng)
    change = rng.randrange(4)
    if change == 0 and tensor.dims:
        tensor.dims[0] = rng.choice([0, 1, -1, 3])
    elif change == 1:
        tensor.dims.append(1)
    elif change == 2:
        tensor.dims.insert(0, 1)
    elif tensor.dims:
        del tensor.dims[-1]


def weight_values(model: Model, rng: random.Random) -> None:
    tensor = _weight(model, rng)
    change = rng.randrange(4)
    if change == 0:
        tensor.raw_data = tensor.raw_data[:-1]
    elif change == 1:
        tensor.raw_data = tensor.raw_data + b"\0"
    elif change == 2:
        tensor.float_data.append(1.0)
    else:
        tensor.ClearField("raw_data")


def weight_gone(model: Model, rng: random.Random) -> None:
    if model.graph.initializer:
        model.graph.initializer.remove(rng.choice(model.graph.initializer))


def weight_twice(model: Model, rng: random.Random) -> None:
    """The same again, or under the name of what a node makes."""
    tensor = _weight(model, rng)
    copy = model.graph.initializer.add()
    copy.CopyFrom(tensor)
    copy.name = rng.choice([tensor.name, rng.choice(_names(model))])


def ends(model: Model, rng: random.Random) -> None:
    """The type, shape or name of the input or the output."""
    value = rng.choice([model.graph.input[0], model.graph.output[0]])
    change = rng.randrange(5)
    if change == 0:
        value.type.tensor_type.elem_type = rng.choice(TYPES)
    elif change == 1 and value.type.tensor_type.shape.dim:
        rng.choice(value.type.tensor_type.shape.dim).dim_value = rng.choice([0, 2, 7, -1])
    elif change == 2:
        value.ClearField("type")
    elif change == 3:
        value.name = rng.choice([*_names(model), "nowhere", ""])
    else:
        value.type.tensor_type.shape.dim.add().dim_value = 1


def end_more(model: Model, rng: random.Random) -> None:
    """An input or output twice, or an input that nothing reads."""
    which = rng.choice([model.graph.input, model.graph.output])
    which.add().CopyFrom(which[0])
    which[-1].name = rng.choice([which[0].name, *_names(model)])


def value_info(model: Model, rng: random.Random) -> None:
    """What a value is said to be on the way."""
    name, dims = rng.choice(_names(model)), rng.choice([None, [1], ["N", 4, 8, 8]])
    made = helper.make_tensor_value_info(name, rng.choice(TYPES), dims)
    model.graph.value_info.append(made)


def node_gone(model: Model, rng: random.Random) -> None:
    model.graph.node.remove(_node(model, rng))


def node_twice(model: Model, rng: random.Random) -> None:
    """The same again, with outputs of its own or with the same."""
    node = _node(model, rng)
    copy = model.graph.node.add()
    copy.CopyFrom(node)
    if rng.random() < 0.5:
        copy.output[:] = [f"{name} again" for name in copy.output]


def node_unread(model: Model, rng: random.Random) -> None:
    """A node that leads nowhere, of whatever kind."""
    inputs = [rng.choice([*_names(model), "nowhere"]) for _ in range(rng.randrange(3))]
    model.graph.node.append(helper.make_node(rng.choice(KINDS), inputs, ["unread"]))


def function(model: Model, rng: random.Random) -> None:
    """One of the file's own, under the name of an operator."""
    body = [helper.make_node(rng.choice(["Relu", "Neg"]), ["x"], ["y"])]
    opsets = [helper.make_opsetid("", model.opset_import[0].version)] if model.opset_import else []
    domain_of = rng.choice(["", "my.ops"])
    made = helper.make_function(domain_of, rng.choice(KINDS), ["x"], ["y"], body, opsets)
    model.functions.append(made)


def branch(model: Model, rng: random.Random) -> None:
    """A graph inside of a node."""
    graph = helper.make_graph([helper.make_node("Relu", ["nowhere"], ["b"])], "inner", [], [])
    _node(model, rng).attribute.append(helper.make_attribute("body", graph))


FAULTS: Sequence[Fault] = (
    *(attribute_type, attribute_value, attribute_name, attribute_more, attribute_gone),
    *(input_gone, input_more, input_other, output_more, output_other),
    *(name_twice, kind, domain, opset, ir_version, function, branch),
    *(weight_type, weight_dims, weight_values, weight_gone, weight_twice),
    *(ends, end_more, value_info, node_gone, node_twice, node_unread),
)


def spoilt(model: Model, fault: Fault, rng: random.Random) -> Model:
    """Return a copy with a fault."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    fault(copy, rng)
    return copy
