"""The weights are found wherever a file keeps them; what lies beside them is left alone."""

import argparse
import collections
import contextlib
import datetime
import decimal
import enum
import functools
import pathlib
import pickle
import random
import sys
import types
import uuid
from dataclasses import dataclass

import numpy as np
import pytest
from weights.torch_files import (
    archive,
    foreign,
    module,
    number,
    ordered,
    parameter,
    plain,
    storage,
    stream,
    tensor,
    whole,
    word,
)

from archspec.weights.formats.pickle_description import PickleRefused
from archspec.weights.formats.pth import StateDict, read_pth

FOUR = np.arange(4, dtype="<f4").tobytes()
W = tensor(storage("0", "Float", 4), (4,), (1,))
STATE = ordered({"w": W})


class Phase(enum.Enum):
    WARM = 1


@dataclass
class Settings:
    rate: float
    names: frozenset[str]


COMPANY = {
    "set": {"a", "b", ("c", 1)},
    "frozenset": frozenset({1, 2}),
    "defaultdict": collections.defaultdict(list, {"loss": [0.5], 3: {}}),
    "counter": collections.Counter("banana"),
    "deque": collections.deque([1, 2], maxlen=3),
    "numpy scalar": np.float64(0.75),
    "numpy array": np.arange(6.0).reshape(2, 3),
    "numpy generator": np.random.default_rng(0),
    "namespace": argparse.Namespace(lr=0.1, out=pathlib.PurePosixPath("/data")),
    "path": pathlib.PurePosixPath("/data/runs"),
    "datetime": datetime.datetime(2026, 11, 29, tzinfo=datetime.UTC),
    "complex": 1 + 2j,
    "decimal": decimal.Decimal("0.1"),
    "uuid": uuid.UUID(int=5),
    "enum": Phase.WARM,
    "dataclass": Settings(0.1, frozenset("ab")),
    "partial": functools.partial(sorted, reverse=True),
    "class": Settings,
    "range": range(5),
    "odd keys": {(1, 2): 3, None: 4, 0.5: 5, True: 6, b"x": 7},
    "long text": "x" * 100_000,
    "bytes": bytes(range(256)) * 40,
    "bytearray": bytearray(9000),
    "shared": [[1, 2]] * 3,
}


def read(body: bytes) -> StateDict:
    return read_pth(archive(body, [FOUR]))


def reason(body: bytes) -> str:
    with pytest.raises(PickleRefused) as caught:
        read(body)
    return str(caught.value)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", COMPANY)
def test_harmless_things_beside_the_weights_are_set_aside(name, protocol):
    """As Python's own pickler writes them, in both formats."""
    thing = pickle.dumps(COMPANY[name], protocol=protocol)[:-1]
    thing = thing[2:] if protocol > 1 else thing
    old = ordered({"w": tensor(storage("0", "Float", 4, legacy=True), (4,), (1,))})
    for raw in (
        archive(plain({"model": STATE, "thing": thing}), [FOUR]),
        stream(plain({"model": old, "thing": thing}), [(4, FOUR)]),
    ):
        found = read_pth(raw)
        assert found.tensors["w"].tolist() == [0, 1, 2, 3]
        assert found.beside == ("thing",)


def test_what_was_not_made_is_named():
    """In the order of the file, each once."""
    beside = foreign("torch.device", b"(" + word("cpu") + b"t")
    body = plain({"model": STATE, "a": foreign("pathlib.PosixPath"), "b": beside, "c": beside})
    assert read(body).foreign == ("pathlib.PosixPath", "torch.device")
    assert read(STATE).foreign == ()


def test_nothing_beside_the_weights_is_called(monkeypatch):
    """A function of a module that nobody suspects: Python's unpickler calls it, ours does not."""
    called = []
    innocent = types.ModuleType("innocent")
    innocent.helper = lambda *given: called.append(given) or called
    monkeypatch.setitem(sys.modules, "innocent", innocent)
    name = b"cinnocent\nhelper\n"
    ways = {
        "reduce": name + b"(" + word("x") + b"tR",
        "inst": b"(" + word("x") + b"iinnocent\nhelper\n",
        "obj": b"(" + name + word("x") + b"o",
        "stack_global": word("innocent") + word("helper") + b"\x93(" + word("x") + b"tR",
    }
    for way in ways.values():
        found = read(plain({"model": STATE, "thing": way}))
        assert found.foreign == ("innocent.helper",)
        assert called == []
    pickle.loads(whole(ways["reduce"]))
    assert called == [("x",)]


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "posix.system",
        "nt.system",
        "subprocess.Popen",
        "builtins.eval",
        "sys.exit",
        "__builtin__.exec",
        "builtins.__import__",
        "importlib.import_module",
        "mine.os.popen",
    ],
)
def test_what_does_harm_is_refused_though_it_would_not_run(name):
    """Whoever wrote it means harm: the weights beside it are not taken either."""
    assert reason(plain({"model": STATE, "thing": foreign(name, b"(" + word("x") + b"t")})) == (
        f"it needs {name!r}, which no state dict does and which could run code"
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("torch._utils._rebuild_qtensor", "'w' is not plain"),
        ("torch._utils._rebuild_sparse_tensor", "'w' is not plain"),
        ("torch._utils._rebuild_wrapper_subclass", "'w' is not plain"),
        ("torch._tensor._rebuild_from_type_v2", "'w' is not plain"),
        ("numpy.core.multiarray._reconstruct", "could run code"),
        ("mine.Weights", "could run code"),
    ],
)
def test_weights_that_are_not_plain_are_refused(name, words):
    """Special tensors among plain ones, and where nothing else is there."""
    among = {"v": W, "w": foreign(name)} if "plain" in words else {"w": foreign(name)}
    assert words in reason(ordered(among))
    assert read(plain({"model": STATE, "other": ordered({"w": foreign(name)})})).beside == (
        "other",
    )


def test_numbers_of_an_unknown_kind_are_no_weights():
    """Complex numbers beside the weights are set aside; among them they are refused."""
    odd = tensor(storage("1", "ComplexFloat", 4), (4,), (1,))
    assert read(plain({"model": STATE, "freqs": odd})).beside == ("freqs",)
    assert "'x' is not plain" in reason(ordered({"w": W, "x": odd}))


def test_the_weights_are_found_however_deep():
    """Below words of one's own; a known word goes first; several that could be meant, never."""
    assert read(
        plain({"ema": plain({"module": STATE, "decay": number(1)}), "epoch": number(3)})
    ).beside == ("epoch", "decay")
    other = plain({"model": STATE, "ema": ordered({"w": W, "v": W})})
    assert list(read(other).tensors) == ["w"]
    assert reason(plain({"teacher": STATE, "student": plain({"best": STATE})})) == (
        "it holds several state dicts, such as 'teacher' and 'student.best'"
    )
    optimizer = plain({"state": b"}" + number(0) + plain({"exp_avg": W}) + b"s"})
    assert read(plain({"mine": STATE, "optimizer": optimizer})).beside == ("optimizer",)


def test_what_has_far_more_tensors_than_the_rest_is_the_network():
    """A loss with weights, statistics of the data and a deep configuration lie beside it."""
    loss = module({"weight": W}, name="torch.nn.modules.loss.CrossEntropyLoss")
    config = plain({"a": plain({"b": plain({"c": plain({"d": plain({"model": plain({})})})})})})
    beside = {"criterion": loss, "mean": plain({"rgb": W}), "config": config}
    many = {f"w{k}": W for k in range(4)}
    for network in (ordered(many), module(many)):
        found = read(plain({**beside, "mine": network}))
        assert list(found.tensors) == list(many)
        assert found.beside == tuple(beside)
    few = plain({**beside, "mine": ordered({"v": W, "w": W})})
    assert reason(few).startswith("it holds several state dicts, such as 'mine' and 'criterion'")


def bag(*names: str) -> bytes:
    return foreign("builtins.set", b"(](" + b"".join(map(word, names)) + b"et")


def test_a_module_gives_the_names_of_its_state_dict():
    """Parameters, buffers, those of its children; None and what is not saved are left out."""
    inner = module(
        {"weight": parameter(W), "bias": b"N"},
        {"running_mean": W, "grid": W},
        _non_persistent_buffers_set=bag("grid"),
    )
    net = module(
        {"scale": parameter(W)},
        {},
        {"body": module({}, {}, {"0": inner, "act": b"N", "1": inner}), "fc": inner},
    )
    for body in (net, plain({"epoch": number(3), "model": net}), plain({"mine": net})):
        assert list(read(body).tensors) == [
            "scale",
            "body.0.weight",
            "body.0.running_mean",
            "body.1.weight",
            "body.1.running_mean",
            "fc.weight",
            "fc.running_mean",
        ]


def test_a_module_in_a_file_before_torch_1_6():
    """Its class comes with its source, which is a text like any other."""
    made = module({"weight": parameter(tensor(storage("0", "Float", 4, legacy=True), (4,), (1,)))})
    name = b"cmy_nets\nNet\n"
    described = b"(" + word("module") + name + word("net.py") + word("import os\n" * 5000) + b"tQ"
    assert list(read_pth(stream(made.replace(name, described), [(4, FOUR)])).tensors) == ["weight"]


def test_modules_without_tensors_hold_no_weights():
    """A loss alone; a module whose parts are no dicts."""
    assert "could run code" in reason(module())
    broken = (
        b"cmine\nNet\n)\x81"
        + plain({"_parameters": b"]", "_buffers": b"}", "_modules": b"}"})
        + b"b"
    )
    assert "could run code" in reason(broken)


def test_modules_in_themselves_and_doubled_ones_end():
    """A child that is its own parent; thirty levels, each twice in the next."""
    itself = (
        b"cmine\nNet\n)\x81q\x05"
        + plain(
            {"_parameters": plain({"w": W}), "_buffers": b"}", "_modules": plain({"a": b"h\x05"})}
        )
        + b"b"
    )
    assert reason(itself) == "its modules are nested too deep"
    body = module({"w": W}) + b"q\x01"
    for _ in range(30):
        body = module({}, {}, {"a": b"h\x01", "b": b"h\x01"}).join([body + b"0", b"q\x01"])
    assert reason(body) == "its modules are nested too deep"


def test_what_is_foreign_has_bounds():
    """Names, calls in calls, dicts that are used over and over."""
    names = b"".join(word(f"n{k}") + word("x") + b"\x930" for k in range(10_001))
    assert reason(names + STATE) == "it names more than 10,000 things"
    assert "in a way that Python does not" in reason(f"c{'x' * 400}\ny\n".encode())
    deep = b"cmine\nf\nq\x01" + b"h\x01" * 200_000 + b")R" + b"\x85R" * 200_000
    assert read(plain({"model": STATE, "thing": deep})).beside == ("thing",)
    chain = b"cmine\nf\n)R" + b")R" * 500_000
    assert read(plain({"model": STATE, "thing": chain})).beside == ("thing",)
    wide = plain({f"k{k}": b"h\x01" for k in range(2000)})
    body = b"}q\x010" + wide + b"q\x010" + wide + b"q\x010" + wide + b"q\x010" + wide
    assert "no state dict" in reason(body)


def test_no_flipped_byte_of_a_module_gives_anything_but_a_refusal():
    """As for state dicts: another number or name at most, never another error."""
    company = b"".join(
        word(name) + pickle.dumps(COMPANY[name], 2)[2:-1] for name in COMPANY if name != "long text"
    )
    net = module({"weight": parameter(W)}, {}, {"fc": module({"weight": W})})
    good = archive(b"}(" + word("model") + net + company + b"u", [FOUR])
    assert list(read_pth(good).tensors) == ["weight", "fc.weight"]
    chance = random.Random(0)
    for _ in range(1500):
        raw = bytearray(good)
        raw[chance.randrange(len(raw))] = chance.randrange(256)
        with contextlib.suppress(PickleRefused):
            read_pth(bytes(raw))


def test_what_many_modules_share_is_looked_at_once():
    """Twenty thousand modules on one dict of twenty thousand numbers, and on one set."""
    numbers_of = b"}(" + b"".join(word(str(k)) + b"K\x01" for k in range(20_000)) + b"uq\x01"
    elements = b"\x8f(" + b"".join(word(str(k)) for k in range(20_000)) + b"\x90q\x02"
    name = b"cmine\nNet\nq\x03"
    parts = plain({"_parameters": b"h\x01", "_buffers": b"}", "_modules": b"}"})
    child = b"h\x03)\x81" + parts[:-1] + word("_non_persistent_buffers_set") + b"h\x02ub"
    children = b"}(" + b"".join(word(str(k)) + child for k in range(20_000)) + b"u"
    whole_net = b"h\x03)\x81" + plain({"_parameters": b"}", "_buffers": b"}", "_modules": children})
    body = numbers_of + b"0" + elements + b"0" + name + b"0" + whole_net + b"b"
    assert reason(body) == "its modules are nested too deep"


def test_a_set_that_is_filled_over_and_over_is_no_way_to_grow():
    """Two hundred thousand times, with one element each."""
    body = plain({"model": STATE, "thing": b"\x8f" + b"(K\x01\x90" * 200_000})
    assert read(body).beside == ("thing",)
