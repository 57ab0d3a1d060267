"""What kind of file it is, its content tells; files are written whole or not at all."""

import json
import os
import re
import socket
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from weights.networks import same
from weights.torch_files import archive, ordered, save, storage, tensor

from archspec.errors import ArchspecError, ModelFileError
from archspec.file_kinds import HEAD, SAFETENSORS, identify_kind
from archspec.runtime import prepare
from archspec.weights.formats.weight_files import read_tensors, read_weights, write_tensors

ARRAYS = {
    "features.conv0.weight": np.random.default_rng(0).normal(size=(4, 3, 2, 2)).astype(np.float32),
    "classifier.bias": np.array([np.pi, -0.0, 1e-38], np.float32),
}


def saved_by_mindspore(path: Path, **more: object) -> Path:
    """A checkpoint that MindSpore itself wrote."""
    prepare()
    import mindspore as ms

    entries = [
        {"name": name, "data": ms.Tensor(array)} for name, array in {**ARRAYS, **more}.items()
    ]
    ms.save_checkpoint(entries, str(path.with_suffix(".ckpt")))
    return path.with_suffix(".ckpt").rename(path)


MAKERS = {
    "MindSpore checkpoint": saved_by_mindspore,
    ".safetensors file": lambda path: save_file(ARRAYS, path),
    "torch .pth file": lambda path: save(path, ARRAYS),
}


def fault(path: Path) -> str:
    with pytest.raises(ModelFileError) as caught:
        read_weights(path)
    return str(caught.value).removeprefix(f"{path} ")


@pytest.mark.parametrize("suffix", [".ckpt", ".pth", ".bin", ""])
@pytest.mark.parametrize("kind", MAKERS)
def test_the_content_tells_the_kind(kind, suffix, tmp_path):
    """Whatever the file is called."""
    file = tmp_path / f"weights{suffix}"
    MAKERS[kind](file)
    weights = read_weights(file)
    assert (weights.kind, weights.set_aside) == (kind, ())
    assert same(dict(sorted(weights.tensors.items())), dict(sorted(ARRAYS.items())))


def test_a_safetensors_file_of_any_length_of_header_is_one(tmp_path):
    """The length comes first: 128 is the byte with which pickles begin, 10 that of checkpoints."""
    file, first_bytes = tmp_path / "x", set()
    for length in range(0, 40, 8):
        name = "w" * length + "w"
        save_file({name: np.ones(1, np.float32)}, file)
        padded = file.read_bytes()
        size = int.from_bytes(padded[:8], "little")
        for more in range(0, 130, 2):
            header = padded[8 : 8 + size] + b" " * more
            file.write_bytes(struct.pack("<Q", len(header)) + header + padded[8 + size :])
            first_bytes.add(len(header) % 256)
            assert list(read_tensors(file)) == [name]
            assert identify_kind(file.read_bytes()[:HEAD]) == SAFETENSORS
    assert 128 in first_bytes


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_what_is_written_is_read_bit_for_bit(suffix, tmp_path):
    """Also over an older file; no other file is left; others may read it."""
    file = tmp_path / f"x{suffix}"
    for _ in range(2):
        write_tensors(file, ARRAYS)
    assert same(dict(sorted(read_tensors(file).items())), dict(sorted(ARRAYS.items())))
    assert os.listdir(tmp_path) == [file.name]
    assert file.stat().st_mode & 0o444 == 0o444


def test_mindspore_and_safetensors_read_what_we_write(tmp_path):
    """Their own readers."""
    prepare()
    import mindspore as ms

    write_tensors(tmp_path / "x.ckpt", ARRAYS)
    write_tensors(tmp_path / "x.safetensors", ARRAYS)
    held = ms.load_checkpoint(str(tmp_path / "x.ckpt"))
    assert same({name: held[name].asnumpy() for name in held}, ARRAYS)
    assert same(
        dict(sorted(load_file(tmp_path / "x.safetensors").items())), dict(sorted(ARRAYS.items()))
    )


def test_training_state_is_set_aside(tmp_path):
    """Of a MindCV run with momentum and moving averages of weights; counters of PyTorch's."""
    state = {
        "moments.classifier.bias": np.zeros(3, np.float32),
        "ema.classifier.bias": np.zeros(3, np.float32),
    }
    scalars = {"momentum": 0.9, "global_step": np.array([5], np.int32), "learning_rate": 0.1}
    values = {
        name: np.asarray(v, np.float32) if isinstance(v, float) else v
        for name, v in scalars.items()
    }
    weights = read_weights(saved_by_mindspore(tmp_path / "x.ckpt", **state, **values))
    assert same(dict(weights.tensors), ARRAYS)
    assert set(weights.set_aside) == {*state, *scalars}
    save_file({**ARRAYS, "norm.num_batches_tracked": np.array(3)}, tmp_path / "x.safetensors")
    assert read_weights(tmp_path / "x.safetensors").set_aside == ("norm.num_batches_tracked",)


def test_half_and_brain_floats_become_floats(tmp_path):
    """In MindSpore's files and in .safetensors,
    which NumPy's own reader cannot read with bfloat16.
    """
    prepare()
    import mindspore as ms

    file = tmp_path / "x.safetensors"
    header = b'{"w":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    file.write_bytes(struct.pack("<Q", len(header)) + header + struct.pack("<HH", 0x3FC0, 0xC010))
    assert read_tensors(file)["w"].tolist() == [1.5, -2.25]
    kinds = (ms.float16, ms.bfloat16, ms.float32)
    entries = [{"name": str(kind), "data": ms.Tensor([1.5, -2.25], kind)} for kind in kinds]
    ms.save_checkpoint(entries, str(tmp_path / "x.ckpt"))
    found = read_tensors(tmp_path / "x.ckpt")
    assert [(array.tolist(), array.dtype) for array in found.values()] == [
        ([1.5, -2.25], np.float32)
    ] * 3


def test_other_files_are_refused_in_one_line(tmp_path):
    """R001 for what cannot be read, R002 with a cure for other kinds
    and for files that were cut.
    """
    assert fault(tmp_path / "none.ckpt") == "R001 cannot be read: No such file or directory"
    assert fault(tmp_path) == "R001 cannot be read: Is a directory (name a file in it)"
    file = tmp_path / "file"
    for content, words in (
        (b"", "R002 is empty"),
        (b"\x89HDF\r\n\x1a\n", "R002 is no file of weights that is known here (it is Keras's HDF5"),
        (
            bytes(257) + b"ustar",
            "R002 is no file of weights that is known here (it is torch's format of 2016",
        ),
        (
            b"epoch 1: all is well",
            "R002 is no file of weights that is known here (a MindSpore .ckpt",
        ),
        (b"\n" * 99, "R002 is no whole MindSpore checkpoint"),
        (struct.pack("<Q", 4) + b"{}{}", "R002 is no whole .safetensors file"),
        (struct.pack("<Q", 2) + b"{}", "R002 holds no tensors of a network"),
    ):
        file.write_bytes(content)
        assert fault(file).startswith(words)


STRANGERS = {
    "Git LFS": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n",
        "git lfs pull",
    ),
    "ONNX": (b"\x08\x07\x12\x07pytorch\x1a\x062.14.1:\xe9\xbf\x05\n", "densenet|certify"),
    "MINDIR": (b"\n\x031.1\x12\tMindSpore*\x062.10.0:\xce\xb9\x18\n", "densenet|certify"),
    "compressed": (b"\x1f\x8b\x08\0", "unpack"),
    "web page": (b"\n<!DOCTYPE html>\n<html>Not found", "download"),
    "text, such as a spec": (b"growth_rate: 8\nblock_config: [2, 3]\n", "WEIGHTS --spec SPEC"),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_files_of_another_kind_are_called_by_their_name(name, tmp_path):
    """With what to do next; whatever they are called."""
    content, cure = STRANGERS[name]
    for suffix in (".pth", ".ckpt"):
        file = tmp_path / f"weights{suffix}"
        file.write_bytes(content)
        line = fault(file)
        assert line.startswith("R002 is no file of weights that is known here (")
        assert name in line
        assert re.search(cure, line)


def test_archives_of_another_kind_are_called_by_their_name(tmp_path):
    """TorchScript and NumPy's arrays are zip archives too."""
    for names, words in (
        (["x/data.pkl", "x/constants.pkl"], "a TorchScript archive.*torch.jit.load"),
        (["x/model.json", "x/tensors/0"], "a TorchScript archive.*torch.jit.load"),
        (["x.npy", "y.npy"], "NumPy's archive of arrays (save the weights as .safetensors"),
        (["word/document.xml"], "not one of torch's"),
    ):
        with zipfile.ZipFile(tmp_path / "x.pth", "w") as made:
            for name in names:
                made.writestr(name, b".")
        assert re.search(words.replace("(", r"\("), fault(tmp_path / "x.pth"))


def test_a_runs_directory_leads_to_its_weights(tmp_path):
    """Any other one to the files in it."""
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.ckpt").touch()
    assert fault(tmp_path).endswith(f"(a run's weights are in {tmp_path}/checkpoints/best.ckpt)")


def test_what_waits_or_has_no_end_is_no_file(tmp_path):
    """Pipes, sockets and devices are not opened; links to them neither."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for path, words in (
            (tmp_path / "pipe", "is a pipe"),
            (tmp_path / "link", "is a pipe"),
            (tmp_path / "socket", "is a socket"),
            (Path("/dev/zero"), "is a device"),
            (Path("/dev/null"), "is a device"),
        ):
            assert fault(path).startswith(f"R001 {words}, no file")


@pytest.mark.parametrize("name", ["", "a\nb", "\x1b[2J", "x" * 201])
def test_names_that_are_none_are_refused(name, tmp_path):
    """They would go into messages and other files."""
    save_file({name: np.zeros(1, np.float32)}, tmp_path / "x.safetensors")
    assert "R002 has a tensor whose name is none" in fault(tmp_path / "x.safetensors")


def test_numbers_of_a_kind_that_no_network_has_are_refused(tmp_path):
    """Complex numbers, quantised weights: told, not dropped."""
    save_file(
        {"w": np.zeros(1, np.complex64), "v": np.zeros(1, np.float32)}, tmp_path / "x.safetensors"
    )
    assert fault(tmp_path / "x.safetensors") == "R002 holds numbers of an unknown kind: C64"


def test_files_that_cannot_be_written_leave_nothing(tmp_path):
    """W001 with the suffixes that there are, W002 for the folder; the older file stays."""
    for target, words in (
        ("x.pth", "W001 must end in .ckpt or .safetensors"),
        ("no/x.ckpt", "W002 cannot be written"),
    ):
        with pytest.raises(ArchspecError, match=words):
            write_tensors(tmp_path / target, ARRAYS)
    (tmp_path / "no.safetensors").mkdir()
    with pytest.raises(ArchspecError, match="W002"):
        write_tensors(tmp_path / "no.safetensors", ARRAYS)
    assert os.listdir(tmp_path) == ["no.safetensors"]


def test_counters_of_any_number_type_are_set_aside(tmp_path):
    """`torch.save({k: v.half() for k, v in state.items()})` makes floats of them."""
    values = {"bn.weight": np.ones(3, np.float16), "bn.num_batches_tracked": np.ones(1, np.float16)}
    file = tmp_path / "half.safetensors"
    save_file(values, file)
    weights = read_weights(file)
    assert list(weights.tensors) == ["bn.weight"]
    assert weights.set_aside == ("bn.num_batches_tracked",)


def test_shapes_that_no_array_has_are_refused(tmp_path):
    """More dimensions than NumPy knows; an empty tensor of a vast size."""
    header = json.dumps({"a.weight": {"dtype": "F32", "shape": [1] * 70, "data_offsets": [0, 4]}})
    file = tmp_path / "deep.safetensors"
    file.write_bytes(len(header).to_bytes(8, "little") + header.encode() + b"\0" * 4)
    assert "R002 'a.weight' has more than 16 dimensions" in fault(file)
    vast = tensor(storage("0", "Float", 4), (2**40, 2**40, 0), (1, 1, 1))
    body = ordered({"conv.weight": vast})
    (tmp_path / "vast.pth").write_bytes(archive(body, [np.zeros(4, np.float32).tobytes()]))
    assert "larger than any network's" in fault(tmp_path / "vast.pth")
