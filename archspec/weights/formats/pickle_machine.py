"""Reads the pickles of torch files as a description, and runs nothing.

Python's unpickler calls what a pickle names, sets attributes and hashes whatever it built. This
machine knows the opcodes of containers, numbers and words, and a table of the few names that state
dicts need; a call of one of those makes a value of `pickle_description.py`. All else is foreign: it
stands there by its name, unmade and unrun. Python's own `pickletools` takes the opcodes apart.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from archspec.weights.formats.pickle_description import (
    CALLS,
    STORAGES,
    Foreign,
    Name,
    PickleRefused,
    Storage,
    as_key,
    is_count,
    is_harmful,
)

MAX_STEPS = 5_000_000
MAX_WORD = 4096
"""Characters or bytes of a word that is kept; a longer one is no name of a tensor."""
MAX_NAME = 300
MAX_NAMES = 10_000


@dataclass(frozen=True, slots=True)
class Description:
    """A pickle's value, made of plain containers, numbers and words,
    and the storages that it names, by key.
    """

    value: Any
    storages: Mapping[str, Storage]
    foreign: tuple[str, ...]
    """Names of what is not known here, in the order in which the pickle asks for them."""


def describe_pickle(file: BinaryIO, *, has_views: bool = False) -> Description:
    """Return what the pickle that starts at the file's position says,
    and leave the position behind it.

    Args:
        file: in memory, so that a declared length cannot make it grow.
        has_views: storages are named with five values and not four, as in files before torch 1.6.

    Raises:
        PickleRefused: a name of what does harm, an opcode that torch does not write, or a damaged
            pickle.
    """
    machine = _PickleMachine(6 if has_views else 5)
    try:
        for step, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            if step >= MAX_STEPS:
                raise PickleRefused(f"it has more than {MAX_STEPS:,} steps")
            machine.take_step(opcode.name, argument)
        return machine.finish()
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError, EOFError):
        raise PickleRefused("its pickle is damaged or cut short") from None


class _PickleMachine:
    """A pickle's stack, its marks and its memo."""

    def __init__(self, parts_of_storage: int) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.storages: dict[str, Storage] = {}
        self.foreign: dict[str, Name] = {}
        self.copied = 0
        self.parts_of_storage = parts_of_storage

    def take_step(self, name: str, argument: Any) -> None:
        if name in LITERALS:
            is_long = isinstance(argument, (str, bytes)) and len(argument) > MAX_WORD
            self.stack.append(Foreign("a long text") if is_long else LITERALS[name](argument))
        elif name in STEPS:
            STEPS[name](self, argument)
        elif name not in IGNORED:
            raise PickleRefused(f"its pickle uses the opcode {name}")

    def finish(self) -> Description:
        (value,) = self.stack
        return Description(value, self.storages, tuple(self.foreign))

    def pop(self) -> Any:
        if self.marks and self.marks[-1] == len(self.stack):
            raise IndexError
        return self.stack.pop()

    def pop_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def pack(self, count: int) -> None:
        items = [self.pop() for _ in range(count)]
        self.stack.append(tuple(reversed(items)))

    def remember(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def set_items(self, items: list[Any]) -> None:
        holder = self.stack[-1]
        if type(holder) is Foreign:
            return
        if type(holder) is not dict or len(items) % 2:
            raise PickleRefused("it sets items of what is no dict")
        for key, value in zip(items[::2], items[1::2], strict=True):
            holder[as_key(key)] = value

    def append(self, items: list[Any]) -> None:
        holder = self.stack[-1]
        if type(holder) is Foreign:
            return
        if type(holder) is not list:
            raise PickleRefused("it appends to what is no list")
        holder.extend(items)

    def add(self, items: list[Any]) -> None:
        """Elements of a set: a set is foreign, as they would have to be hashed."""
        holder = self.stack[-1]
        if type(holder) is not Foreign:
            raise PickleRefused("it adds to what is no set")
        if holder.arguments and type(holder.arguments[0]) is list:
            holder.arguments[0].extend(items)

    def push_name(self, module: Any, name: Any) -> None:
        if type(module) is not str or type(name) is not str or len(module + name) > MAX_NAME:
            raise PickleRefused("it names something in a way that Python does not")
        text = f"{module}.{name}"
        if is_harmful(text):
            raise PickleRefused(describe_need(text))
        if text in CALLS or text in STORAGES:
            self.stack.append(Name(text))
            return
        self.stack.append(self.foreign.setdefault(text, Name(text)))
        if len(self.foreign) > MAX_NAMES:
            raise PickleRefused(f"it names more than {MAX_NAMES:,} things")

    def call(self) -> None:
        arguments, target = self.pop(), self.pop()
        if type(arguments) is not tuple or not _is_callable(target):
            raise PickleRefused("it calls what is no class and no function")
        if type(target) is Foreign or target.text not in CALLS:
            self.stack.append(Foreign(_name_target(target), arguments))
            return
        self.copied += sum(
            len(value) for value in (arguments, *arguments) if type(value) in (list, tuple)
        )
        if self.copied > MAX_STEPS:  # the memo could hand the same list to any number of calls
            raise PickleRefused("it copies more than it holds")
        self.stack.append(CALLS[target.text](*arguments))

    def call_with_words(self) -> None:
        self.pop()  # the arguments by name
        self.call()

    def build(self) -> None:
        """The state of an ordered dict, `_metadata` of torch's, tells nothing about weights."""
        state = self.pop()
        holder = self.stack[-1]
        if type(holder) is Foreign:
            holder.state = state
        elif type(holder) is not dict:
            raise PickleRefused("it sets attributes of what has none")

    def load_storage(self) -> None:
        given = self.pop()
        if type(given) is tuple and given[:1] == ("module",) and type(given[1]) is Name:
            self.stack.append(
                given[1]
            )  # a class with its source, as files before torch 1.6 name it
            return
        if type(given) is not tuple or len(given) != self.parts_of_storage or given[0] != "storage":
            raise PickleRefused("it refers to something beside the storages of tensors")
        _, kind, key, _, count, *view = given
        if type(kind) is not Name or type(key) is not str or not is_count(count):
            raise PickleRefused("it describes a storage in a way that torch does not")
        if view not in ([], [None]):
            raise PickleRefused(
                "it has storages that are views of others, which only very old files have"
            )
        if kind.text not in STORAGES:
            self.stack.append(Foreign(kind.text))
            return
        storage = Storage(key, STORAGES[kind.text], count)
        if self.storages.setdefault(key, storage) != storage:
            raise PickleRefused("it describes a storage twice, and differently")
        self.stack.append(storage)


def describe_need(name: str) -> str:
    """Return that a pickle asks for a thing by name."""
    return f"it needs {name[:100]!r}, which no state dict does and which could run code"


def _is_callable(target: Any) -> bool:
    return type(target) is Foreign or (type(target) is Name and target.text not in STORAGES)


def _name_target(target: Name | Foreign) -> str:
    return target.name if isinstance(target, Foreign) else target.text


IGNORED = ("PROTO", "FRAME", "STOP")
_WORDS = (
    "UNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE",
    "BINUNICODE8",
    "STRING",
    "SHORT_BINSTRING",
    "BINSTRING",
)
_NUMBERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT")
_BYTES = ("BINBYTES", "SHORT_BINBYTES", "BINBYTES8")
LITERALS: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys((*_WORDS, *_NUMBERS, *_BYTES), lambda argument: argument),
    "NONE": lambda _: None,
    "NEWTRUE": lambda _: True,
    "NEWFALSE": lambda _: False,
    "EMPTY_DICT": lambda _: {},
    "EMPTY_LIST": lambda _: [],
    "EMPTY_TUPLE": lambda _: (),
    "EMPTY_SET": lambda _: Foreign("a set", ([],)),
    "BYTEARRAY8": lambda _: Foreign("bytes"),
}
STEPS: Mapping[str, Callable[[_PickleMachine, Any], None]] = {
    "MARK": lambda m, _: m.marks.append(len(m.stack)),
    "POP": lambda m, _: m.pop() and None,
    "POP_MARK": lambda m, _: m.pop_mark().clear(),
    "DUP": lambda m, _: m.stack.append(m.stack[-1]),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.pop_mark())),
    "TUPLE1": lambda m, _: m.pack(1),
    "TUPLE2": lambda m, _: m.pack(2),
    "TUPLE3": lambda m, _: m.pack(3),
    "LIST": lambda m, _: m.stack.append(m.pop_mark()),
    "DICT": lambda m, _: _new_dict(m),
    "APPEND": lambda m, _: m.append([m.pop()]),
    "APPENDS": lambda m, _: m.append(m.pop_mark()),
    "SETITEM": lambda m, _: m.set_items([*reversed([m.pop(), m.pop()])]),
    "SETITEMS": lambda m, _: m.set_items(m.pop_mark()),
    "ADDITEMS": lambda m, _: m.add(m.pop_mark()),
    "FROZENSET": lambda m, _: m.stack.append(Foreign("a set", (m.pop_mark(),))),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT"), lambda m, index: m.remember(index)),
    "MEMOIZE": lambda m, _: m.remember(len(m.memo)),
    **dict.fromkeys(
        ("GET", "BINGET", "LONG_BINGET"), lambda m, index: m.stack.append(m.memo[index])
    ),
    "GLOBAL": lambda m, text: m.push_name(*text.split(" ", 1)),
    "STACK_GLOBAL": lambda m, _: m.push_name(*reversed([m.pop(), m.pop()])),
    **dict.fromkeys(("REDUCE", "NEWOBJ"), lambda m, _: m.call()),
    "NEWOBJ_EX": lambda m, _: m.call_with_words(),
    "OBJ": lambda m, _: _call_marked(m, m.pop_mark()),
    "INST": lambda m, text: _call_named(m, text),
    "BUILD": lambda m, _: m.build(),
    "BINPERSID": lambda m, _: m.load_storage(),
}


def _call_marked(machine: _PickleMachine, items: list[Any]) -> None:
    """Of protocol 1: the class and its arguments, above a mark."""
    machine.stack += [items[0], tuple(items[1:])]
    machine.call()


def _call_named(machine: _PickleMachine, text: str) -> None:
    """Of protocol 0: the arguments above a mark, the class in the opcode."""
    items = machine.pop_mark()
    machine.push_name(*text.split(" ", 1))
    machine.stack.append(tuple(items))
    machine.call()


def _new_dict(machine: _PickleMachine) -> None:
    items = machine.pop_mark()
    machine.stack.append({})
    machine.set_items(items)
