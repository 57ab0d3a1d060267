"""MINDIR to Graph: the operators that MindSpore compiled, read back from its model file.

The file is untrusted. It is walked field by field, so that weights stay on the disk and each piece that
MindSpore's own protobuf module parses is small; then its functions are run on shapes alone. Running them is
needed: with a free batch MindSpore leaves branches on the rank of a feature map inside. No name decides
anything, except what an operator is called.
"""

from __future__ import annotations

import importlib.util
import mmap
import operator
import reprlib
import struct
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import isclose, sqrt
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from archspec.errors import Diagnostic, ModelFileError
from archspec.graph.ir import Graph, Op
from archspec.runtime import prepare

MAX_BYTES = 2 * 2**30
MAX_NODES = 200_000
MAX_PIECE = 2 * 2**20
"""Bytes of one node, primitive or parameter without its values."""
MAX_PIECES = 64 * 2**20
MAX_FIELDS = 1_000_000
MAX_STEPS = 10_000_000
"""Values read while the functions run, a node counted as 16: a bound on time, and on tuples that grow."""
MAX_DEPTH = 100
MAX_CHANNELS = 2**31
MAX_NAME = 200

UNKNOWN = "is no operator of a dense network that is known here"


@dataclass(frozen=True, slots=True)
class Node:
    """A node as it stands in the file: `primitive` is also the name of a function or of a value to call."""

    name: str
    primitive: str
    inputs: tuple[str, ...]
    output: str
    attrs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Function:
    """A function's inputs with their dims, its nodes in running order, and the value that it returns."""

    inputs: tuple[tuple[str, tuple[int, ...]], ...]
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]


@dataclass(slots=True)
class Model:
    """A file's functions, primitives by name, and constants and parameters, which all functions share."""

    main: Function | None = None
    functions: dict[str, Function] = field(default_factory=dict)
    primitives: dict[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)
    shared: dict[str, Any] = field(default_factory=dict)
    pieces: int = 0
    fields: int = 0
    nodes: int = 0


@dataclass(frozen=True, slots=True)
class Feature:
    """A tensor that depends on the image, (N, C, H, W) or (N, C); a free N is the text "N"."""

    op: str
    shape: tuple[Any, ...]
    pending: tuple[Any, ...] = ()
    """What still has to come before this is an operator's output: a padding, or part of a GELU."""
    doubtful: bool = False
    """It depends on an operator that is not known: what does not fit it is no fault of its own."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A weight by its name in the file."""

    name: str
    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Closure:
    """A function with its first arguments."""

    function: str
    bound: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that is not followed; whatever needs it is not either."""

    fault: Diagnostic


class _Broken(Exception):
    """The bytes are no MINDIR."""


class _Strange(Exception):
    """A node does what the IR cannot say; the message is the predicate."""


def read_mindir(path: Path) -> Graph:
    """Return the graph of a MINDIR file: operators without regions, those alone that lead to the output.

    Uneven padding stays in `padding` as (top, bottom, left, right). Beyond what `OPERATORS` knows, a conv may
    have `bias=True`, a dense `bias=False`, a gelu `approximate="tanh"`, and an operator that uses weights a
    second time `weights_of` the first.

    Raises:
        EnvironmentFault: E001, MindSpore, whose protobuf module is used, is not installed.
        ModelFileError: R005, the file cannot be read; R006, it is no MINDIR or is cut short; R007, its
            functions cannot be followed; R008, operators that dense networks do not have.
    """
    proto = _protobuf_module()
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # it comes with MindSpore

    try:
        if path.exists() and not path.is_file():
            raise ModelFileError.one("R005", "is no file", str(path))
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if not 0 < size <= MAX_BYTES:
                message = "is empty" if not size else f"has {size:,} bytes, more than {MAX_BYTES:,}"
                raise ModelFileError.one("R006", message, str(path))
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                model = _model(data, proto)
    except OSError as error:
        raise ModelFileError.one("R005", f"cannot be read: {error.strerror}", str(path)) from None
    except (_Broken, DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ModelFileError.one("R006", f"is no MINDIR, or is cut short: {error}", str(path)) from None
    return _Run(model, path).graph()


def _protobuf_module() -> ModuleType:
    """MindSpore's module for the format, by its path: importing mindspore itself takes seconds."""
    prepare()
    for name in ("mindspore.train.mind_ir_pb2", "mind_ir_pb2"):
        if name in sys.modules:
            return sys.modules[name]
    found = importlib.util.find_spec("mindspore")
    assert found is not None
    assert found.origin is not None
    file = Path(found.origin).parent / "train" / "mind_ir_pb2.py"
    spec = importlib.util.spec_from_file_location("mind_ir_pb2", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[spec.name] = module
    return module


def _fields(model: Model, data: mmap.mmap, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield each field of a message: its number, where it begins, where its value begins, where it ends."""
    while at < end:
        model.fields += 1
        if model.fields > MAX_FIELDS:
            raise _Broken(f"it has more than {MAX_FIELDS:,} fields")
        tag, begin = _varint(data, at, end)
        kind = tag & 7
        if kind == 0:
            _, stop = _varint(data, begin, end)
        elif kind == 2:
            length, begin = _varint(data, begin, end)
            stop = begin + length
        elif kind in (1, 5):
            stop = begin + (8 if kind == 1 else 4)
        else:
            raise _Broken(f"a field of unknown type at byte {at:,}")
        if stop > end:
            raise _Broken(f"the field at byte {at:,} goes on beyond the end")
        yield tag >> 3, at, begin, stop
        at = stop


def _varint(data: mmap.mmap, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise _Broken(f"a number that does not end at byte {at:,}")


def _model(data: mmap.mmap, proto: ModuleType) -> Model:
    numbers = {name: f.number for name, f in proto.ModelProto.DESCRIPTOR.fields_by_name.items()}
    model = Model()
    for number, _, begin, end in _fields(model, data, 0, len(data)):
        if number == numbers["primitives"]:
            primitive = proto.PrimitiveProto.FromString(_piece(model, data[begin:end]))
            model.primitives[primitive.name] = (primitive.op_type, _attrs(primitive.attribute, proto))
        elif number in (numbers["graph"], numbers["functions"]):
            name, function = _function(model, data, begin, end, proto)
            if number == numbers["functions"]:
                model.functions[name] = function
            else:
                model.main = function
    if model.main is None:
        raise _Broken("it holds no graph")
    return model


def _function(model: Model, data: mmap.mmap, begin: int, end: int, proto: ModuleType) -> tuple[str, Function]:
    numbers = {f.number: name for name, f in proto.GraphProto.DESCRIPTOR.fields_by_name.items()}
    skipped = proto.TensorProto.DESCRIPTOR.fields_by_name["raw_data"].number
    name, inputs, nodes, outputs = "", list[tuple[str, tuple[int, ...]]](), list[Node](), list[str]()
    for number, _, start, stop in _fields(model, data, begin, end):
        what = numbers.get(number)
        if what == "node":
            _read_node(model, proto.NodeProto.FromString(_piece(model, data[start:stop])), nodes, proto)
        elif what == "parameter":
            parts = [data[s:e] for n, s, _, e in _fields(model, data, start, stop) if n != skipped]
            tensor = proto.TensorProto.FromString(_piece(model, b"".join(parts)))
            model.shared[tensor.name] = Parameter(tensor.name, tuple(tensor.dims))
        elif what in ("input", "output"):
            value = proto.ValueInfoProto.FromString(_piece(model, data[start:stop]))
            dims = tuple(value.tensor[0].dims) if value.tensor else ()
            if what == "input":
                inputs.append((value.name, dims))
            else:
                outputs.append(value.name)
        elif what == "name":
            name = _piece(model, data[start:stop]).decode()
    return name, Function(tuple(inputs), tuple(nodes), tuple(outputs))


def _piece(model: Model, piece: bytes) -> bytes:
    """Count a part of the file before it is parsed: parsing small fields takes many times their size."""
    model.pieces += len(piece)
    if len(piece) > MAX_PIECE or model.pieces > MAX_PIECES:
        raise _Broken(f"a node of more than {MAX_PIECE:,} bytes, or {MAX_PIECES:,} in all, weights aside")
    return piece


def _read_node(model: Model, node: Any, nodes: list[Node], proto: ModuleType) -> None:
    model.nodes += 1
    if model.nodes > MAX_NODES:
        raise _Broken(f"it has more than {MAX_NODES:,} nodes")
    output = sys.intern(node.output[0] if node.output else node.name)
    if node.op_type == "Constant":
        model.shared[output] = _plain(node.attribute[0], proto) if node.attribute else None
        return
    primitive = sys.intern(node.op_type.removeprefix("REF::"))
    attrs = {} if node.op_type.startswith("REF::") else _attrs(node.attribute, proto)
    nodes.append(Node(node.name, primitive, tuple(map(sys.intern, node.input)), output, attrs))


def _attrs(attributes: Any, proto: ModuleType) -> Mapping[str, Any]:
    return {attribute.name: _plain(attribute, proto) for attribute in attributes}


def _plain(attribute: Any, proto: ModuleType) -> Any:
    """A number, text, or tuple of such; None for what is neither."""
    kind = proto.AttributeProto.AttributeType.Name(attribute.type)
    if kind in ("TUPLE", "LIST"):
        return tuple(_plain(value, proto) for value in attribute.values)
    if kind == "TENSORS" and attribute.tensors and len(attribute.tensors[0].raw_data) == 4:
        return float(struct.unpack("<f", attribute.tensors[0].raw_data)[0])
    for listed in (attribute.ints, attribute.floats, attribute.doubles):
        if listed:
            return listed[0] if len(listed) == 1 else tuple(listed)
    if kind == "BOOL":
        return bool(attribute.i)
    if kind == "STRING":
        return (attribute.strings[0] if attribute.strings else attribute.s).decode()
    number = {"FLOAT": "f", "DOUBLE": "d"}.get(kind, "i" if "INT" in kind else "")
    return getattr(attribute, number) if number else None


class _Run:
    """Runs a model's functions on shapes, and collects the operators that it meets."""

    def __init__(self, model: Model, path: Path) -> None:
        self.model = model
        self.path = path
        self.ops: dict[str, Op] = {}
        self.faults: dict[str, str] = {}
        self.owners: dict[str, str] = {}
        self.taken: dict[str, int] = {}
        self.steps = 0

    def graph(self) -> Graph:
        main = self.model.main
        assert main is not None
        result = self.call(main, [self.image(name, dims) for name, dims in main.inputs], 0)
        if isinstance(result, Unknown):
            raise ModelFileError([result.fault])
        if not isinstance(result, Feature):
            raise self.fault("R007", "its output is not one tensor that depends on its input")
        used = self.leading_to(result.op)
        if result.pending:
            self.faults[result.op] = f"the output is part of a {result.pending[0]}"
        self.refuse([name for name in self.ops if name in used and name in self.faults])
        return Graph.of(self.path.stem, [self.ops[name] for name in self.ops if name in used])

    def leading_to(self, output: str) -> dict[str, None]:
        used, waiting = dict[str, None](), [output]
        while waiting:
            name = waiting.pop()
            if name not in used:
                used[name] = None
                waiting.extend(self.ops[name].inputs)
        return used

    def refuse(self, names: Sequence[str]) -> None:
        """Raise the faults of operators, those that say the same in one line."""
        alike: dict[str, list[str]] = {}
        for name in names:
            alike.setdefault(self.faults[name], []).append(name)
        if alike:
            raise ModelFileError(
                self.strange(f"{nodes[0]} and {len(nodes) - 1} more" if nodes[1:] else nodes[0], message)
                for message, nodes in alike.items()
            )

    def fault(self, code: str, message: str) -> ModelFileError:
        return ModelFileError([Diagnostic(code, message, str(self.path))])

    def strange(self, node: str, message: str) -> Diagnostic:
        return Diagnostic("R008", f"{node}: {message}", str(self.path))

    def image(self, name: str, dims: tuple[int, ...]) -> Feature:
        if len(dims) != 4 or any(not 0 < size < MAX_CHANNELS for size in dims[1:]):
            raise self.fault("R007", f"its input has the shape {dims}, must be (N, C, H, W) with C, H, W fixed")
        called = self.free(_short(name))
        self.ops[called] = Op(called, "input", (), MappingProxyType({"shape": dims[1:]}))
        return Feature(called, (dims[0] if dims[0] > 0 else "N", *dims[1:]))

    def call(self, function: Function, arguments: Sequence[Any], depth: int) -> Any:
        if depth > MAX_DEPTH or len(arguments) != len(function.inputs) or len(function.outputs) != 1:
            raise self.fault("R007", "a function is called with too few values, has several, or calls itself")
        values = {name: value for (name, _), value in zip(function.inputs, arguments, strict=True)}
        for node in function.nodes:
            values[node.output] = self.run(node, values, depth)
        return self.value(function.outputs[0], values)

    def value(self, name: str, values: Mapping[str, Any]) -> Any:
        for known in (values, self.model.shared):
            if name in known:
                return known[name]
        if name in self.model.functions:
            return Closure(name)
        raise self.fault("R007", f"{_short(name)} is read before anything makes it: it is missing, or a cycle")

    def run(self, node: Node, values: Mapping[str, Any], depth: int) -> Any:
        inputs = tuple(self.value(name, values) for name in node.inputs)
        self.spend(16 + len(inputs))
        primitive, attrs = self.model.primitives.get(node.primitive, (node.primitive, node.attrs))
        if node.primitive in values or node.primitive in self.model.functions:
            called = self.value(node.primitive, values)
            if isinstance(called, Closure):
                inside = self.model.functions[called.function]
                return self.call(inside, (*called.bound, *inputs), depth + 1)
            return called if isinstance(called, Unknown) else None
        if primitive in PLUMBING:
            result = PLUMBING[primitive](*inputs) if inputs else None
            self.spend(len(result) if isinstance(result, tuple) else 0)
            self.spend(len(result.bound) if isinstance(result, Closure) else 0)
            return result
        unknown = next((value for value in inputs if isinstance(value, Unknown)), None)
        return unknown or self.operate(Call(self, node.name, primitive, inputs, attrs))

    def spend(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MAX_STEPS:
            raise self.fault("R007", f"running its functions takes more than {MAX_STEPS:,} steps")

    def operate(self, call: Call) -> Any:
        """Run an operator; one that is not known passes its input on, so that the others are looked at too."""
        try:
            if call.primitive not in PRIMITIVES:
                raise _Strange(UNKNOWN)
            result = PRIMITIVES[call.primitive](call)
            self.spend(len(result) if isinstance(result, tuple) else 0)
            return result
        except _Strange as strange:
            fault = f"{call.primitive} {strange}"
        except (TypeError, IndexError, KeyError, ValueError, OverflowError, ZeroDivisionError, struct.error):
            fault = f"{call.primitive} has inputs or attributes of another form than is known here"
        features = [value for value in call.inputs if isinstance(value, Feature)]
        if not features:
            return Unknown(self.strange(_short(call.node), fault))
        name = self.free(_short(call.node))
        self.ops[name] = Op(name, "unknown", tuple(value.op for value in features))
        if UNKNOWN in fault or not any(value.doubtful for value in features):
            self.faults[name] = fault
        return Feature(name, features[0].shape, doubtful=True)

    def shares(self, name: str, weights: Sequence[Parameter]) -> dict[str, str]:
        """The attribute of an operator some of whose weights another one has already."""
        owners = [self.owners.setdefault(weight.name, name) for weight in weights]
        return next(({"weights_of": owner} for owner in owners if owner != name), {})

    def free(self, name: str) -> str:
        """The name itself, or with a number where it is taken: functions may run several times."""
        number = self.taken[name] = self.taken.get(name, 0) + 1
        free = name if number == 1 else f"{name}#{number}"
        return free if free not in self.ops else self.free(f"{name}#")


@dataclass(frozen=True, slots=True)
class Call:
    """An operator about to run."""

    run: _Run
    node: str
    primitive: str
    inputs: tuple[Any, ...]
    attrs: Mapping[str, Any]

    def feature(self, index: int = 0, dims: int = 0, pending: str = "") -> Feature:
        """An input that depends on the image, of so many dims, pending as the caller allows."""
        value = self.inputs[index]
        if not isinstance(value, Feature):
            raise _Strange("does not read the image's features where it must")
        if value.pending and value.pending[0] != pending:
            raise _Strange(f"reads part of a {value.pending[0]}")
        if dims and len(value.shape) != dims:
            raise _Strange(f"reads a tensor of shape {value.shape}, must have {dims} dimensions")
        return value

    def parameter(self, index: int, dims: int) -> Parameter:
        """An input that is a weight of so many dims."""
        value = self.inputs[index]
        if not isinstance(value, Parameter) or len(value.dims) != dims or min(value.dims) < 1:
            raise _Strange("does not read a parameter where it must")
        return value

    def option(self, name: str, index: int, default: Any = None) -> Any:
        """A setting: an attribute in older files, a constant input in newer ones."""
        if name in self.attrs:
            return self.attrs[name]
        return self.inputs[index] if index < len(self.inputs) else default

    def op(self, kind: str, inputs: Sequence[Feature], shape: tuple[Any, ...], /, **attrs: Any) -> Feature:
        """Add an operator, called after its weights where it has any."""
        weights = attrs.pop("weights", ())
        if shape[1] > MAX_CHANNELS:
            raise _Strange(f"gives more than {MAX_CHANNELS:,} channels")
        called = _short(weights[0].name).rpartition(".")[0] if weights else ""
        name = self.run.free(called or _short(self.node))
        attrs |= self.run.shares(name, weights)
        self.run.ops[name] = Op(name, kind, tuple(x.op for x in inputs), MappingProxyType(attrs))
        return Feature(name, shape, doubtful=any(x.doubtful for x in inputs))


def _short(name: str) -> str:
    """`CNode_47` of `network_construct_35:CNode_47:13`, `features.conv0.weight` of `...:features.conv0.weight`."""
    parts = name.split(":")
    return (parts[1] if len(parts) > 1 and parts[1] else parts[0]).partition("$")[0][:MAX_NAME]


def _square(value: Any, least: int = 1) -> int:
    """A size that is the same in height and width, given as one, two, or four numbers with those of N and C."""
    pair = value[-2:] if isinstance(value, tuple) else (value, value)
    if pair[0] != pair[1] or type(pair[0]) is not int or not least <= pair[0] < MAX_CHANNELS:
        raise _Strange(f"has the size {reprlib.repr(value)}; only square ones >= {least} are known")
    return pair[0]


def _window(
    call: Call, x: Feature, kernel: Any, stride: Any, mode: Any, pad: Any, dilation: Any = 1
) -> tuple[dict[str, Any], tuple[int, int]]:
    """A sliding window's attributes, and the pixels (H, W) of its output."""
    kernel, stride, dilation = _square(kernel), _square(stride), _square(dilation)
    reach = dilation * (kernel - 1) + 1
    before = x.pending[1] if x.pending else (0, 0, 0, 0)
    height, width = x.shape[2] + before[0] + before[1], x.shape[3] + before[2] + before[3]
    pads = tuple(pad) if PAD_MODES.get(mode) == "pad" else (0, 0, 0, 0)
    if PAD_MODES.get(mode) == "same":
        total = [max((-(-size // stride) - 1) * stride + reach - size, 0) for size in (height, width)]
        pads = tuple(part for size in total for part in (size // 2, size - size // 2))
    if mode not in PAD_MODES or len(pads) != 4 or any(type(p) is not int or not 0 <= p < 2**20 for p in pads):
        raise _Strange(f"pads in a way that is not known: {reprlib.repr((mode, pad))}")
    size_out = (height + pads[0] + pads[1] - reach) // stride + 1, (width + pads[2] + pads[3] - reach) // stride + 1
    if min(size_out) < 1:
        raise _Strange(f"has a {kernel} x {kernel} window that leaves no pixel of {height} x {width}")
    whole = tuple(a + b for a, b in zip(before, pads, strict=True))
    padding = whole[0] if len(set(whole)) == 1 else whole
    return {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation}, size_out


PAD_MODES: Mapping[Any, str] = {
    **dict.fromkeys(("pad", "PAD", 0), "pad"),
    **dict.fromkeys(("same", "SAME", 1), "same"),
    **dict.fromkeys(("valid", "VALID", 2), "valid"),
}


def _conv(call: Call) -> Feature:
    x, weight = call.feature(dims=4, pending="padding"), call.parameter(1, 4)
    a = call.attrs
    out, per_group, groups = weight.dims[0], weight.dims[1], _square(a.get("group", a.get("groups", 1)))
    if per_group * groups != x.shape[1] or out % groups:
        raise _Strange(f"is made for {per_group * groups} channels, reads {x.shape[1]}")
    attrs, size = _window(call, x, weight.dims, a["stride"], a["pad_mode"], a["pad"], a.get("dilation", 1))
    attrs |= {"in_channels": x.shape[1], "out_channels": out, "groups": groups}
    return call.op("conv", [x], (x.shape[0], out, *size), weights=(weight,), **attrs)


def _batch_norm(call: Call) -> tuple[Any, ...]:
    x, gamma = call.feature(), call.parameter(1, 1)
    weights = [gamma, *(call.parameter(index, 1) for index in (2, 3, 4))]
    if any(weight.dims != (x.shape[1],) for weight in weights):
        raise _Strange(f"is made for {gamma.dims[0]} channels, reads {x.shape[1]}")
    eps = _decimal(call.option("epsilon", 6, 1e-5))
    made = call.op("batch_norm", [x], x.shape, weights=weights, channels=x.shape[1], eps=eps)
    if call.option("is_training", 5, False):
        call.run.faults[made.op] = "BatchNorm was exported in training mode"
    return (made, None, None, None, None)


def _decimal(stored: float) -> float:
    """1e-05 of 9.999999747378752e-06: the shortest decimal that a float32 stores as it is stored."""
    decimals = (float(f"{stored:.{digits}g}") for digits in range(1, 10))
    return next((d for d in decimals if struct.pack("f", d) == struct.pack("f", stored)), stored)


def _activation(kind: str, call: Call, **attrs: Any) -> Feature:
    x = call.feature()
    return call.op(kind, [x], x.shape, **attrs)


def _concat(call: Call) -> Feature:
    parts, axis = (call.inputs[0], call.option("axis", 1)) if isinstance(call.inputs[0], tuple) else (call.inputs, 1)
    if not parts or any(not isinstance(part, Feature) or part.pending for part in parts):
        raise _Strange("joins something else than features")
    first = parts[0].shape
    if (
        len(first) != 4
        or axis not in (1, -3)
        or any((*p.shape[:1], *p.shape[2:]) != (first[0], *first[2:]) for p in parts)
    ):
        raise _Strange(f"joins along axis {reprlib.repr(axis)}, or feature maps of different size")
    if len(parts) == 1:
        return parts[0]  # type: ignore[no-any-return]
    return call.op("concat", parts, (first[0], sum(part.shape[1] for part in parts), *first[2:]))


def _pool(kind: str, call: Call) -> Feature:
    x = call.feature(dims=4, pending="padding")
    if x.pending and kind == "max_pool" and call.run.ops[x.op].kind not in ("relu", "relu6"):
        raise _Strange("reads zeros from a padding beside what may be negative")
    kernel, stride = call.option("kernel_size", 1), call.option("strides", 2)
    attrs, size = _window(call, x, kernel, stride, call.option("pad_mode", 3), None)
    return _pooled(call, kind, x, attrs, (*x.shape[:2], *size))


def _pool_in_3d(kind: str, call: Call) -> Feature:
    """What a padded MaxPool2d or AvgPool2d becomes: a pool of a feature map with one slice, (N, C, 1, H, W)."""
    x, a = call.feature(dims=5), call.attrs
    kernel, stride, pad = a.get("ksize", a.get("kernel_size")), a["strides"], a.get("pads", a.get("pad_list"))
    sides = tuple(side for side in pad[-2:] for _ in range(2)) if len(pad) == 3 else pad[-4:]
    if kernel[-3] != 1 or x.shape[2] != 1 or a.get("ceil_mode") or a.get("divisor_override"):
        raise _Strange("rounds up, divides by a number of its own, or pools over slices")
    if kind == "avg_pool" and any(sides) and not a.get("count_include_pad", True):
        raise _Strange("leaves its padding out of the average")
    flat = replace(x, shape=(*x.shape[:2], *x.shape[3:]))
    mode = "pad" if "pads" in a else a["pad_mode"]
    attrs, size = _window(call, flat, kernel, stride, mode, sides, a.get("dilation", 1))
    return _pooled(call, kind, x, attrs, (*x.shape[:2], 1, *size))


def _pooled(call: Call, kind: str, x: Feature, attrs: dict[str, Any], shape: tuple[Any, ...]) -> Feature:
    if attrs.pop("dilation") != 1:
        raise _Strange("is dilated")
    return call.op(kind, [x], shape, **attrs)


def _pad(call: Call) -> Feature:
    x = call.feature(dims=4)
    pads = call.option("paddings", 1)
    if call.primitive == "Pad":
        pads = sum(pads[::-1], ()) if pads[:2] == ((0, 0), (0, 0)) else (-1,)
    elif call.attrs.get("mode", "constant") != "constant" or call.option("value", 2, 0.0):
        raise _Strange("pads with something else than zeros")
    if len(pads) not in (4, 8) or any(pads[4:]) or any(type(p) is not int or not 0 <= p < 2**20 for p in pads):
        raise _Strange(f"pads in a way that is not known: {reprlib.repr(pads)}")
    return replace(x, pending=("padding", (pads[2], pads[3], pads[0], pads[1])))


def _mean(call: Call) -> Feature:
    x, axes = call.feature(dims=4), call.option("axis", 1)
    if sorted(axis % 4 for axis in axes) != [2, 3]:
        raise _Strange(f"averages over the axes {reprlib.repr(axes)}; only (2, 3) is known")
    return _global_pool(call, x, bool(call.option("keep_dims", 2, False)))


def _adaptive_pool(call: Call) -> Feature:
    if _square(call.option("output_size", 1)) != 1:
        raise _Strange("pools to more than one pixel")
    return _global_pool(call, call.feature(dims=4), True)


def _global_pool(call: Call, x: Feature, keep_dims: bool) -> Feature:
    return call.op("global_avg_pool", [x], (*x.shape[:2], *((1, 1) if keep_dims else ())))


def _expand(call: Call) -> Feature:
    x = call.feature(dims=4)
    if call.option("axis", 1) not in (2, -3):
        raise _Strange("adds another dimension than the third")
    return replace(x, shape=(*x.shape[:2], 1, *x.shape[2:]))


def _squeeze(call: Call) -> Feature:
    x, axes = call.feature(), call.option("axis", 1)
    axes = {axis % len(x.shape) for axis in (axes if isinstance(axes, tuple) else (axes,))}
    if any(x.shape[axis] != 1 for axis in axes):
        raise _Strange(f"takes away dimensions {sorted(axes)} of {x.shape}, which are not 1")
    return replace(x, shape=tuple(size for axis, size in enumerate(x.shape) if axis not in axes))


def _reshape(call: Call) -> Feature:
    """A reshape is followed where it changes nothing, or takes away a slice or pixels where there is one."""
    x = call.feature()
    target = call.inputs[1] if call.primitive == "Reshape" else (x.shape[0], -1)
    flat = x.shape[:2] if all(size == 1 for size in x.shape[2:]) else x.shape
    one_slice = (*x.shape[:2], *x.shape[3:]) if len(x.shape) == 5 and x.shape[2] == 1 else x.shape
    for shape in (x.shape, one_slice, flat):
        fits = (size in (-1, own) for size, own in zip(target, shape, strict=False))
        if len(target) == len(shape) and target.count(-1) <= 1 and all(fits):
            return replace(x, shape=shape)
    raise _Strange(f"makes {reprlib.repr(target)} of {x.shape}")


def _matmul(call: Call) -> Feature:
    x, weight = call.feature(dims=2), call.parameter(1, 2)
    dense = call.primitive == "Dense"
    transposed = dense or call.option("transpose_b", 3, False)
    out, channels = weight.dims if transposed else weight.dims[::-1]
    if (not dense and call.option("transpose_a", 2, False)) or channels != x.shape[1]:
        raise _Strange(f"is made for {channels} channels, reads {x.shape}")
    attrs = {"in_channels": channels, "out_channels": out, "bias": False}
    if dense and len(call.inputs) > 2 and isinstance(call.inputs[2], Parameter):
        attrs.pop("bias")
    return call.op("dense", [x], (x.shape[0], out), weights=(weight,), **attrs)


def _add(call: Call) -> Feature:
    """A bias is part of the convolution or dense layer that it is added to."""
    if call.primitive == "Add" and not isinstance(call.inputs[1], Parameter):
        return _gelu(call)
    x, bias = call.feature(), call.parameter(1, 1)
    op = call.run.ops[x.op]
    biased = {"conv": {"bias": True}, "dense": {}}.get(op.kind)
    if biased is None or bias.dims[0] != x.shape[1] or op.attrs.get("bias", op.kind == "dense"):
        raise _Strange("is added to something else than a convolution or a dense layer without bias")
    name = call.run.free(f"{op.name}+bias")
    attrs = {**{k: v for k, v in op.attrs.items() if k != "bias"}, **biased, **call.run.shares(name, [bias])}
    call.run.ops[name] = Op(name, op.kind, op.inputs, MappingProxyType(attrs))
    return Feature(name, x.shape, doubtful=x.doubtful)


def _gelu(call: Call) -> Feature:
    """x (1 + erf(x / sqrt 2)) / 2, which MindSpore writes as five operators; each step knows the one before."""
    parts = [value for value in call.inputs if isinstance(value, Feature)]
    numbers = [value for value in call.inputs if isinstance(value, (int, float))]
    x = max(parts, key=lambda part: len(part.pending))
    steps = x.pending[1] if x.pending else 0
    if {part.op for part in parts} != {x.op} or (x.pending and x.pending[0] != "gelu") or steps >= len(GELU):
        raise _Strange(UNKNOWN)
    primitive, number = GELU[steps]
    factor = numbers[0] if numbers else None
    if call.primitive == "Mul" and primitive == "Div" and factor:
        factor = 1 / factor
    fits = (factor is None) == (number is None) and (number is None or isclose(factor or 0, number, rel_tol=1e-6))
    if call.primitive not in (primitive, "Mul" if primitive == "Div" else primitive) or not fits:
        raise _Strange(UNKNOWN)
    if len(parts) != (2 if steps == 3 else 1) or (
        steps == 3 and any(part.pending[1:] not in ((), (3,)) for part in parts)
    ):
        raise _Strange(UNKNOWN)
    plain = replace(x, pending=())
    return call.op("gelu", [plain], x.shape) if steps == 4 else replace(x, pending=("gelu", steps + 1))


GELU: tuple[tuple[str, float | None], ...] = (
    ("Div", sqrt(2)),
    ("Erf", None),
    ("Add", 1.0),
    ("Mul", None),
    ("Mul", 0.5),
)


def _dropout(call: Call) -> Any:
    if call.option("keep_prob", 1, 0.5) != 1:
        raise _Strange("drops features at random: exported in training mode")
    return (call.feature(), None)


def _item(call: Call) -> Any:
    values, index = call.inputs
    return values[index]


def _transpose(call: Call) -> Parameter:
    weight = call.parameter(0, 2)
    if tuple(call.inputs[1]) != (1, 0):
        raise _Strange("moves the dimensions of its input")
    return replace(weight, dims=weight.dims[::-1])


def _shape(call: Call) -> tuple[Any, ...]:
    value = call.inputs[0]
    return value.dims if isinstance(value, Parameter) else call.feature().shape


def _switch(call: Call) -> Any:
    if type(call.inputs[0]) not in (bool, int):
        raise _Strange("chooses by a value that the shapes alone do not tell")
    return call.inputs[1 if call.inputs[0] else 2]


def _closure(function: Any, *bound: Any) -> Any:
    return Closure(function.function, (*function.bound, *bound)) if isinstance(function, Closure) else None


def _scalar(compute: Callable[..., Any], call: Call) -> Any:
    """Arithmetic on ranks and sizes; MindSpore's scalars have the same meaning as Python's."""
    flat = [part for value in call.inputs for part in (value if isinstance(value, tuple) else (value,))]
    if any(part is not None and not isinstance(part, (bool, int, float, str)) for part in flat):
        raise _Strange(UNKNOWN)
    return compute(*call.inputs)


# What carries values about and computes nothing. Effects (UpdateState and monads) are None.
PLUMBING: Mapping[str, Callable[..., Any]] = {
    **dict.fromkeys(("Load", "Depend", "Cast", "Identity", "identity", "StopGradient"), lambda x, *_: x),
    "UpdateState": lambda *_: None,
    **dict.fromkeys(("MakeTuple", "MakeList", "make_list"), lambda *values: values),
    "Partial": _closure,
}

PRIMITIVES: Mapping[str, Callable[[Call], Any]] = {
    "Conv2D": _conv,
    "BatchNorm": _batch_norm,
    "ReLU": partial(_activation, "relu"),
    "ReLU6": partial(_activation, "relu6"),
    "SiLU": partial(_activation, "silu"),
    "GeLU": partial(_activation, "gelu", approximate="tanh"),
    "HSwish": partial(_activation, "hard_swish"),
    "Concat": _concat,
    "MaxPool": partial(_pool, "max_pool"),
    "AvgPool": partial(_pool, "avg_pool"),
    "MaxPool3DWithArgmax": lambda call: (_pool_in_3d("max_pool", call), None),
    "MaxPool3D": partial(_pool_in_3d, "max_pool"),
    "AvgPool3D": partial(_pool_in_3d, "avg_pool"),
    "Pad": _pad,
    "PadV3": _pad,
    "ReduceMean": _mean,
    "AdaptiveAvgPool2D": _adaptive_pool,
    "ExpandDims": _expand,
    "Squeeze": _squeeze,
    **dict.fromkeys(("Reshape", "Flatten"), _reshape),
    **dict.fromkeys(("MatMul", "MatMulExt", "Dense"), _matmul),
    **dict.fromkeys(("BiasAdd", "Add"), _add),
    **dict.fromkeys(("Div", "Erf", "Mul"), _gelu),
    "Dropout": _dropout,
    "Transpose": _transpose,
    **dict.fromkeys(("TupleGetItem", "ListGetItem", "tuple_getitem"), _item),
    "Shape": _shape,
    "Rank": lambda call: len(call.feature().shape),
    "Switch": _switch,
    "sequence_len": partial(_scalar, len),
    "ScalarEq": partial(_scalar, operator.eq),
    "ScalarLt": partial(_scalar, operator.lt),
    "ScalarLe": partial(_scalar, operator.le),
    "ScalarGt": partial(_scalar, operator.gt),
    "ScalarGe": partial(_scalar, operator.ge),
    "ScalarUsub": partial(_scalar, operator.neg),
    "BoolNot": partial(_scalar, operator.not_),
    "InSequence": partial(_scalar, lambda value, values: value in values),
    "SequenceAdd": partial(_scalar, lambda values, more: (*values, *more)),
    "SequenceSlice": partial(_scalar, lambda values, start, stop, step: values[start:stop:step]),
}
