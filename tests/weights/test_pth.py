"""torch's files are read to the last bit,
and whatever else they hold neither runs nor gets through.
"""

import collections
import io
import os
import pickle
import random
import struct
import sys
import types
import zipfile

import numpy as np
import pytest
from weights.torch_files import (
    KINDS,
    MACHINE,
    MAGIC,
    ORDERED,
    VERSION,
    archive,
    number,
    numbers,
    ordered,
    parameter,
    plain,
    save,
    state_dict,
    storage,
    stream,
    tensor,
    whole,
    word,
)

from archspec.errors import ModelFileError
from archspec.weights.formats.pickle_description import PickleRefused
from archspec.weights.formats.pth import read_pth
from archspec.weights.formats.weight_files import read_weights

RNG = np.random.default_rng(0)
ARRAYS = {
    "conv0.weight": RNG.normal(size=(4, 3, 2, 2)).astype(np.float32),
    "norm0.running_var": RNG.normal(size=5).astype(np.float32),
    "norm0.num_batches_tracked": np.array(7, np.int64),
    "classifier.bias": np.array([np.pi, -0.0, 1e-38], np.float32),
}
FOUR = np.arange(4, dtype="<f4").tobytes()


def read(raw: bytes):
    return dict(read_pth(raw).tensors)


def reason(raw: bytes) -> str:
    with pytest.raises(PickleRefused) as caught:
        read_pth(raw)
    return str(caught.value)


def one(body: bytes, *storages: bytes) -> bytes:
    """An archive whose state dict has the tensor `w`."""
    return archive(ordered({"w": body}), storages or (FOUR,))


@pytest.mark.parametrize("legacy", [False, True])
def test_both_formats_give_the_numbers_that_were_written(legacy, tmp_path):
    """Bit for bit and in order; counters of batches are no weights."""
    weights = read_weights(save(tmp_path / "x.bin", ARRAYS, legacy=legacy))
    assert weights.kind == "torch .pth file"
    assert list(weights.tensors) == ["conv0.weight", "norm0.running_var", "classifier.bias"]
    assert all(
        weights.tensors[name].tobytes() == ARRAYS[name].tobytes() for name in weights.tensors
    )
    assert weights.set_aside == ("norm0.num_batches_tracked",)


@pytest.mark.parametrize("legacy", [False, True])
def test_python_itself_reads_the_tests_files_the_same(legacy):
    """The files that the tests put together are pickles as Python means them,
    not as our reader does.
    """
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for kind in KINDS.values():
        setattr(torch, f"{kind}Storage", f"{kind}Storage")
    utils._rebuild_tensor_v2 = lambda stored, offset, shape, strides, *rest: (
        stored,
        offset,
        shape,
        strides,
    )

    class Trusting(pickle.Unpickler):
        def find_class(self, module, name):
            return getattr({"torch": torch, "torch._utils": utils}.get(module, collections), name)

        def persistent_load(self, pid):
            return pid[1:3]

    found = Trusting(io.BytesIO(whole(state_dict(ARRAYS, legacy=legacy)))).load()
    assert list(found) == list(ARRAYS)
    assert found["conv0.weight"] == (("FloatStorage", "0"), 0, (4, 3, 2, 2), (12, 4, 2, 1))
    assert found._metadata == {}


@pytest.mark.parametrize("wrap", ["state_dict", "model", "model_state", "my_own_word"])
def test_a_training_checkpoint_is_looked_into(wrap, tmp_path):
    """The state dict is found wherever it is kept; the rest is named as set aside."""
    weights = read_weights(save(tmp_path / "x.pth", ARRAYS, wrap=wrap))
    assert len(weights.tensors) == 3
    assert weights.set_aside[:2] == ("epoch", "optimizer")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_of_pickle_is_understood(protocol):
    """Python's own pickler writes the containers; none but protocol 2 is torch's default."""
    plainly = {
        "epoch": 3,
        "best": 0.5,
        "names": ["a", ("b", None, True)],
        "big": 2**70,
        "empty": (),
    }
    body = pickle.dumps(plainly, protocol=protocol)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("x/data.pkl", body)
    assert reason(file.getvalue()) == "it holds no state dict of tensors"


def test_half_and_brain_floats_become_floats():
    """1.5 and -2.25 are exact in each."""
    half = one(tensor(storage("0", "Half", 2), (2,), (1,)), np.array([1.5, -2.25], "<f2").tobytes())
    brain = one(tensor(storage("0", "BFloat16", 2), (2,), (1,)), struct.pack("<HH", 0x3FC0, 0xC010))
    double = one(
        tensor(storage("0", "Double", 2), (2,), (1,)), np.array([1.5, -2.25], "<f8").tobytes()
    )
    for raw in (half, brain, double):
        assert read(raw)["w"].tolist() == [1.5, -2.25]
        assert read(raw)["w"].dtype == np.float32


def test_views_of_a_storage_are_what_torch_shows():
    """Transposed, from the middle, and two tensors on one storage."""
    stored = storage("0", "Float", 6)
    raw = np.arange(6, dtype="<f4").tobytes()
    made = {
        "a": tensor(stored, (3, 2), (1, 3)),
        "b": parameter(tensor(stored, (2,), (1,), 4)),
        "scalar": tensor(stored, (), (), 5),
    }
    found = read(archive(ordered(made), [raw]))
    assert found["a"].tolist() == np.arange(6).reshape(2, 3).T.tolist()
    assert found["b"].tolist() == [4, 5]
    assert found["scalar"] == 5


# What an attacker would write. `{}` is the path of a file that any of them would make.
PAYLOADS = {
    "os.system": b"cposix\nsystem\n(" + word("touch {}") + b"tR",
    "builtins.eval": b"c__builtin__\neval\n(" + word("open('{}', 'w')") + b"tR",
    "builtins.exec": b"cbuiltins\nexec\n(" + word("open('{}', 'w')") + b"tR",
    "getattr": b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n("
    + word("os")
    + b"tR"
    + word("system")
    + b"tR("
    + word("touch {}")
    + b"tR",
    "stack_global": word("posix") + word("system") + b"\x93(" + word("touch {}") + b"tR",
    "inst": b"(" + word("touch {}") + b"iposix\nsystem\n",
    "obj": b"(cposix\nsystem\n" + word("touch {}") + b"o",
    "newobj": b"cbuiltins\nopen\n(" + word("{}") + word("w") + b"t\x81",
    "newobj_ex": b"csubprocess\nPopen\n(](" + word("touch") + word("{}") + b"et}\x92",
}
ALIVE = ("os.system", "builtins.eval", "builtins.exec", "getattr", "stack_global", "inst", "obj")


def with_path(payload: bytes, path: object) -> bytes:
    """Fill the path in and mend the length before the word."""
    before, text = payload.rsplit(b"X", 1)
    raw, rest = (
        text[4 : 4 + struct.unpack("<I", text[:4])[0]],
        text[4 + struct.unpack("<I", text[:4])[0] :],
    )
    return before + word(raw.decode().replace("{}", str(path))) + rest


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", [name for name in PAYLOADS if not name.startswith("newobj")])
def test_code_in_a_pickle_does_not_run(name, legacy, tmp_path):
    """Python's unpickler runs the very same bytes; ours refuses them and names why."""
    ours, control = tmp_path / "ours", tmp_path / "control"
    body = ordered({"w": with_path(PAYLOADS[name], ours)})
    raw = stream(body, []) if legacy else archive(body, [])
    assert reason(raw).startswith(("it needs", "its pickle uses the opcode"))
    assert not ours.exists()
    pickle.loads(b"\x80\x02" + with_path(PAYLOADS[name], control) + b".")
    for _ in range(200):
        if control.exists():
            break
    assert control.exists()


@pytest.mark.parametrize("name", ["newobj", "newobj_ex"])
def test_objects_are_not_made(name, tmp_path):
    """NEWOBJ and its like make instances of classes; state dicts need none."""
    assert reason(archive(ordered({"w": PAYLOADS[name]}), []))
    assert os.listdir(tmp_path) == []


def test_a_hostile_file_is_one_line_with_its_name_and_a_cure(tmp_path):
    """R010, through the reader of all kinds."""
    file = tmp_path / "densenet121.pth"
    file.write_bytes(archive(ordered({"w": PAYLOADS["os.system"]}), []))
    with pytest.raises(ModelFileError) as caught:
        read_weights(file)
    assert str(caught.value) == (
        f"{file} R010 is no .pth file that can be read: it needs 'posix.system', which no "
        "state dict does and which "
        "could run code (save the state_dict alone, or as .safetensors)"
    )


def test_the_tables_names_are_not_the_things():
    """No module of torch's, no attribute of ours and nothing of Python's is looked up by name."""
    for name in (
        b"ctorch._utils\n__builtins__\n",
        b"carchspec.weights.pth\nread_pth\n",
        b"ccollections\nabc\n",
    ):
        assert reason(one(name)).startswith("it needs")
    before = dict(sys.modules)
    reason(one(b"cantigravity\nthing\n"))
    assert dict(sys.modules) == before


ORDERED_NAME = b"ccollections\nOrderedDict\n"
STORED = storage("0", "Float", 4)
ABUSES = {
    "call of a storage": b"ctorch\nFloatStorage\n)R",
    "call of a word": word("system") + b")R",
    "call of a tensor": tensor(STORED, (4,), (1,)) + b")R",
    "arguments that are no tuple": ORDERED_NAME + b"]R",
    "an ordered dict of an ordered dict": ORDERED_NAME + b"(" + ORDERED + b"tR",
    "an ordered dict of words": ORDERED_NAME + b"(](" + word("ab") + b"e" + b"tR",
    "a tensor without arguments": b"ctorch._utils\n_rebuild_tensor_v2\n)R",
    "a tensor of a word": b"ctorch._utils\n_rebuild_tensor_v2\n("
    + word("x")
    + number(0)
    + b")))tR",
    "a parameter of a word": b"ctorch._utils\n_rebuild_parameter\n(" + word("x") + b"tR",
    "a shape that is a list": b"ctorch._utils\n_rebuild_tensor_v2\n("
    + STORED
    + number(0)
    + b"])tR",
    "a shape of words": b"ctorch._utils\n_rebuild_tensor_v2\n("
    + STORED
    + number(0)
    + b"("
    + word("x")
    + b"t("
    + word("x")
    + b"ttR",
    "a negative stride": tensor(STORED, (4,), (-1,), 3),
    "a negative offset": tensor(STORED, (2,), (1,), -2),
    "an endless offset": tensor(STORED, (2,), (1,), 2**60),
    "more strides than sizes": tensor(STORED, (4,), (1, 1)),
    "nine dimensions": tensor(STORED, (1,) * 9, (1,) * 9),
    "attributes of a tensor": tensor(STORED, (4,), (1,))
    + b"}"
    + word("shape")
    + numbers((9,))
    + b"sb",
    "attributes of a name": b"ctorch._utils\n_rebuild_tensor_v2\n}" + word("__code__") + b"Nsb",
    "a persistent id that is a word": word("storage") + b"Q",
    "a persistent id of a module": b"("
    + word("module")
    + ORDERED_NAME
    + word("f.py")
    + word("evil()")
    + b"NtQ",
    "a persistent id in text": b"Pstorage\n",
    "a storage of a made-up kind": storage("0", "Evil", 4),
    "a storage of no kind": b"("
    + word("storage")
    + word("x")
    + word("0")
    + word("cpu")
    + number(4)
    + b"tQ",
    "a storage whose key is a number": b"("
    + word("storage")
    + b"ctorch\nFloatStorage\n"
    + number(0)
    + word("cpu")
    + number(4)
    + b"tQ",
    "one key, two kinds": b"(" + storage("0", "Float", 4) + storage("0", "Half", 4) + b"t",
    "a key that is a tuple": b"}" + numbers((1,)) + b"Ns",
    "items of a list": b"]" + word("x") + b"Ns",
    "appending to a dict": b"}Na",
    "an extension": b"\x82\x01",
    "a copied top": b"N2",
    "a set": b"\x8f",
    "a bytearray": b"\x96" + struct.pack("<Q", 1) + b"x",
    "a buffer out of band": b"\x97",
    "an endless word": word("x" * 5000),
    "a word with a false length": b"X\xff\xff\xff\xff" + b"x",
    "a number with a false length": b"\x8b\xff\xff\xff\x7f" + b"x",
    "an unknown opcode": b"\xfe",
    "a memo that is empty": b"h\x05",
    "popping nothing": b"000000",
    "popping below a mark": b"(0",
    "a mark that is not there": b"t",
}


@pytest.mark.parametrize("name", ABUSES)
def test_allowed_things_are_not_put_to_another_use(name):
    """Odd arguments, false kinds, damaged opcodes: refused, in a sentence, in both formats."""
    for raw in (one(ABUSES[name]), stream(ordered({"w": ABUSES[name]}), [(4, FOUR)])):
        assert reason(raw)


def test_cycles_and_depth_do_no_harm():
    """A dict in itself, a list in itself, a million brackets:
    refused or set aside, the stack holds.
    """
    cyclic = archive(b"}q\x01" + word("a") + b"h\x01s", [])
    assert reason(cyclic) == "it holds no state dict of tensors"
    nested = archive(b"}q\x01" + word("state_dict") + b"h\x01s", [])
    assert reason(nested) == "its state dict is nested too deep"
    itself = archive(ordered({"w": tensor(STORED, (4,), (1,)), "x": b"]q\x01h\x01a"}), [FOUR])
    assert read_pth(itself).beside == ("x",)
    deep = archive(
        ordered({"w": tensor(STORED, (4,), (1,)), "x": b")" + b"\x85" * 1_000_000}), [FOUR]
    )
    assert read_pth(deep).beside == ("x",)


def test_the_memo_is_no_way_to_grow():
    """A list of many pairs that is handed to many calls would fill the memory."""
    pairs = b"](" + b"".join(b"](" + word(str(k)) + b"Ne" for k in range(3000)) + b"eq\x01"
    raw = archive(pairs + b"0" + (ORDERED_NAME + b"(h\x01tR0") * 2000 + b"}", [])
    assert reason(raw) == "it copies more than it holds"


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (tensor(STORED, (5,), (1,)), "beyond its storage"),
        (tensor(STORED, (4,), (1,), 1), "beyond its storage"),
        (tensor(STORED, (2, 2), (4, 1)), "beyond its storage"),
        (tensor(STORED, (2**20, 2**20), (0, 0)), "beyond its storage"),
        (tensor(storage("0", "Float", 5), (4,), (1,)), "another size"),
        (tensor(storage("0", "Double", 4), (4,), (1,)), "another size"),
        (tensor(storage("0", "Float", 2**47), (4,), (1,)), "another size"),
        (tensor(storage("9", "Float", 4), (4,), (1,)), "missing"),
        (tensor(storage("../../etc/passwd", "Float", 4), (4,), (1,)), "missing"),
        (tensor(storage("/etc/passwd", "Float", 4), (4,), (1,)), "missing"),
    ],
)
def test_sizes_are_held_against_what_the_archive_has(made, words):
    """Shapes, strides, offsets, counts and keys."""
    assert words in reason(one(made))


def test_many_tensors_on_one_storage_are_not_multiplied():
    """Sharing is for tied weights; a thousand tensors of one storage would be a bomb."""
    stored = storage("0", "Float", 10_000)
    made = {f"w{k}": tensor(stored, (10_000,), (1,)) for k in range(100)}
    assert "many times larger" in reason(archive(ordered(made), [bytes(40_000)]))


def test_archives_that_torch_does_not_write_are_refused():
    """Compressed, two roots, a name twice, a program, big-endian numbers, none of torch's."""
    body = ordered({"w": tensor(STORED, (4,), (1,))})
    good = archive(body, [FOUR])
    assert read(good)["w"].tolist() == [0, 1, 2, 3]

    def edited(*entries: tuple[str, bytes]) -> bytes:
        file = io.BytesIO(good)
        with zipfile.ZipFile(file, "a") as made:
            for name, raw in entries:
                made.writestr(name, raw)
        return file.getvalue()

    assert "compressed" in reason(archive(body, [bytes(10**6)], compression=zipfile.ZIP_DEFLATED))
    assert "not one of torch's" in reason(edited(("other/data.pkl", b".")))
    assert "TorchScript" in reason(edited(("archive/constants.pkl", b".")))
    program = archive(body, [bytes(10**6)], compression=zipfile.ZIP_DEFLATED)  # as torch.jit does
    with zipfile.ZipFile(file := io.BytesIO(program), "a") as made:
        made.writestr("archive/constants.pkl", b".")
    assert "TorchScript" in reason(file.getvalue())
    assert "not one of torch's" in reason(archive(body, [FOUR], root="a/../b"))
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = edited(("archive/data/0", FOUR))
    assert "a name twice" in reason(twice)
    assert "big-endian" in reason(archive(body, [FOUR], order="big"))


def test_an_archive_inside_itself_is_refused():
    """Entries that overlap declare more bytes than the file has."""
    raw = bytearray(
        archive(ordered({"w": tensor(storage("0", "Float", 10**6), (10**6,), (1,))}), [FOUR])
    )
    for place in [k for k in range(len(raw)) if raw[k : k + 4] == b"PK\x01\x02"]:
        struct.pack_into("<II", raw, place + 20, 4 * 10**6, 4 * 10**6)
    assert reason(bytes(raw)) == "its archive declares more bytes than the file has"


def test_streams_are_held_against_what_they_declare():
    """The magic number, the byte order, the keys, the counts, and not a byte more."""
    made = ordered({"w": tensor(storage("0", "Float", 4, legacy=True), (4,), (1,))})
    good = stream(made, [(4, FOUR)])
    assert read(good)["w"].tolist() == [0, 1, 2, 3]
    big = pickle.dumps({**MACHINE, "little_endian": False}, protocol=2)
    assert "none of torch's" in reason(pickle.dumps({"w": 1}, protocol=2))
    head = pickle.dumps(MAGIC, protocol=2) + pickle.dumps(VERSION, protocol=2)
    assert "big-endian" in reason(head + big)
    assert "longer than its storages" in reason(good + b"x")
    assert "cut short" in reason(good[:-1])
    assert "not those that it declares" in reason(stream(made, [(3, FOUR)]))
    assert "not those that it declares" in reason(stream(made, [(4, FOUR), (4, FOUR)]))
    assert "missing" in reason(stream(made, []))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of pickletools, for odd escapes
@pytest.mark.parametrize("legacy", [False, True])
def test_no_cut_and_no_flipped_byte_gives_anything_but_a_refusal(legacy, tmp_path):
    """At every length, and with any byte changed: another number at most, never another error."""
    good = save(tmp_path / "x.pth", ARRAYS, legacy=legacy).read_bytes()
    for length in range(len(good)):
        with pytest.raises(PickleRefused):
            read_pth(good[:length])
    chance = random.Random(0)
    for _ in range(3000):
        raw = bytearray(good)
        raw[chance.randrange(len(raw))] = chance.randrange(256)
        try:
            read_pth(bytes(raw))
        except PickleRefused:
            continue


def test_a_plain_dict_of_plain_things_is_no_state_dict():
    """Words, numbers and lists of tensors."""
    for body in (plain({"a": number(1)}), number(3), b"](" + tensor(STORED, (4,), (1,)) + b"e"):
        assert "state dict" in reason(archive(body, [FOUR])) or "no dict" in reason(
            archive(body, [FOUR])
        )
