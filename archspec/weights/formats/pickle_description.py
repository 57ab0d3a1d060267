"""What a pickle of weights names:
tensors as windows on storages, parameters, dicts, and what is foreign here.

Each call that a pickle makes of what is known gives a value of this module, after its arguments are
checked. A call of anything else gives a `Foreign`: the name and what it was given, inert.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MAX_COUNT = 2**48

DTYPES: Mapping[str, str] = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}
"""torch's kinds of storages and the codes of their numbers."""


class PickleRefused(Exception):
    """The pickle does, or needs, what no file of weights has to; `cure` is what to do."""

    def __init__(
        self, why: str, cure: str = "save the state_dict alone, or as .safetensors"
    ) -> None:
        super().__init__(why)
        self.cure = cure


@dataclass(frozen=True, slots=True)
class Storage:
    """`count` numbers that lie elsewhere in the file, under `key`."""

    key: str
    code: str
    count: int


@dataclass(frozen=True, slots=True)
class TensorView:
    """A tensor as a window on a storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Name:
    """Something that the pickle names, not the thing itself."""

    text: str


@dataclass(eq=False, slots=True)
class Foreign:
    """An object, or the result of a call, that the pickle asks for and that is not made here.

    It is equal to itself alone, so that it may stand for a key of a dict.
    """

    name: str
    """`pathlib.PosixPath`"""
    arguments: tuple[Any, ...] = ()
    state: Any = None
    """What the pickle says of its attributes."""


HARMFUL_MODULES = (
    "ctypes",
    "importlib",
    "nt",
    "os",
    "posix",
    "pty",
    "runpy",
    "shutil",
    "socket",
    "subprocess",
    "sys",
    "webbrowser",
)
HARMFUL_BUILTINS = (
    "__import__",
    "breakpoint",
    "compile",
    "eval",
    "exec",
    "execfile",
    "input",
    "open",
)


def is_harmful(name: str) -> bool:
    """Does a name stand for what runs commands, opens files or imports modules?

    Nothing is run whatever the name is, so the list guards nothing here. Whoever wrote a file that
    asks for these means harm: its weights are not taken, and whoever would open it next is warned.
    """
    *modules, last = name.split(".")
    if modules[:1] in (["builtins"], ["__builtin__"]) and last in HARMFUL_BUILTINS:
        return True
    return any(module in HARMFUL_MODULES for module in modules)


def _make_tensor(
    storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any
) -> TensorView | Foreign:
    if type(storage) is Foreign:
        return storage
    whole = type(shape) is tuple and type(strides) is tuple and len(shape) == len(strides) <= 8
    if (
        type(storage) is not Storage
        or not whole
        or not all(map(is_count, (offset, *shape, *strides)))
    ):
        raise PickleRefused("it describes a tensor in a way that torch does not")
    return TensorView(storage, offset, shape, strides)


def is_count(value: Any) -> bool:
    """Is it a whole number that could be a size?"""
    return type(value) is int and 0 <= value < MAX_COUNT


def _make_parameter(data: Any = None, *rest: Any) -> TensorView | Foreign:
    if type(data) not in (TensorView, Foreign):
        raise PickleRefused("it describes a parameter in a way that torch does not")
    return data  # type: ignore[no-any-return]


def _make_ordered_dict(pairs: Any = (), *rest: Any) -> dict[Any, Any]:
    if (
        rest
        or type(pairs) not in (list, tuple)
        or not all(type(p) in (list, tuple) and len(p) == 2 for p in pairs)
    ):
        raise PickleRefused("it fills an ordered dict in an unusual way")
    return {as_key(key): value for key, value in pairs}


def _make_defaultdict(factory: Any = None, *rest: Any) -> dict[Any, Any]:
    """A defaultdict; what it would fill in, nobody asks for."""
    return _make_ordered_dict(*rest)


CALLS: Mapping[str, Callable[..., Any]] = {
    "collections.OrderedDict": _make_ordered_dict,
    "collections.defaultdict": _make_defaultdict,
    "torch._utils._rebuild_tensor": _make_tensor,
    "torch._utils._rebuild_tensor_v2": _make_tensor,
    "torch._utils._rebuild_parameter": _make_parameter,
    "torch._utils._rebuild_parameter_with_state": _make_parameter,
}
STORAGES: Mapping[str, str] = {
    f"{module}.{name}": code for module in ("torch", "torch.cuda") for name, code in DTYPES.items()
}


def as_key(key: Any) -> Any:
    """Return a key for a dict: the word or number that it is, else one that equals no other."""
    if type(key) in (str, int):
        return key
    return Foreign("a key")  # hashing a deep tuple could exhaust the stack
