"""How ONNX has norms: as one node, or written out where engines do not know the norm."""

from __future__ import annotations

from archspec.operators.onnx_writing import OnnxWriter, of_each_channel

EPS = 1e-5
"""Of a norm that says none, in ONNX."""


def write_batch_norm(node: OnnxWriter) -> str:
    """Write one node, in evaluation mode; of one without an eps, its scale and its shift."""
    if node.attrs["eps"] is None:
        scaled = node.add("Mul", node.inputs[0], of_each_channel(node, "gamma"))
        return node.add("Add", scaled, of_each_channel(node, "beta"))
    roles = ("gamma", "beta", "moving_mean", "moving_variance")
    weights = [node.tensor(role) for role in roles]
    return node.add("BatchNormalization", node.inputs[0], *weights, epsilon=node.attrs["eps"])


def write_layer_norm(node: OnnxWriter) -> str:
    """Write a norm over the last dimension, which the channels are moved to."""
    x, is_map = node.inputs[0], node.is_map()
    if is_map:
        x = node.add("Transpose", x, perm=(0, 2, 3, 1))
    weights = node.tensor("gamma"), node.tensor("beta")
    x = node.add("LayerNormalization", x, *weights, axis=-1, epsilon=node.attrs["eps"])
    return node.add("Transpose", x, perm=(0, 3, 1, 2)) if is_map else x


def write_instance_norm(node: OnnxWriter) -> str:
    """Write one node."""
    weights = node.tensor("gamma"), node.tensor("beta")
    eps = node.attrs["eps"]
    return node.add("InstanceNormalization", node.inputs[0], *weights, epsilon=eps)


def write_group_norm(node: OnnxWriter) -> str:
    """Write each group as one channel that is normed, then scale and shift of the channels, as
    PyTorch does: ONNX's own node is newer than most engines.
    """
    x, groups, eps = node.inputs[0], node.attrs["groups"], node.attrs["eps"]
    sizes = node.add("Shape", x)
    grouped = node.add("Reshape", x, node.constant([0, groups, -1]))
    plain = node.constant([1.0] * groups), node.constant([0.0] * groups)
    normed = node.add("InstanceNormalization", grouped, *plain, epsilon=eps)
    back = node.add("Reshape", normed, sizes)
    scaled = node.add("Mul", back, node.tensor("gamma", -1, 1, 1))
    return node.add("Add", scaled, node.tensor("beta", -1, 1, 1))


def write_rms_norm(node: OnnxWriter) -> str:
    """Write the root mean square of the channels, and what divides by it."""
    x = node.inputs[0]
    square = node.add("Mul", x, x)
    mean = node.add("ReduceMean", square, node.constant([1]), keepdims=1)
    root = node.add("Sqrt", node.add("Add", mean, node.constant(node.attrs["eps"])))
    return node.add("Mul", node.add("Div", x, root), of_each_channel(node, "gamma"))
