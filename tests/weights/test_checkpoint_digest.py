"""The digest at a checkpoint's end: no byte changes, and no cut is made, without being noticed."""

import random
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from archspec.errors import ModelFileError
from archspec.runtime import prepare
from archspec.weights.formats import ckpt
from archspec.weights.formats.checkpoint_digest import is_damaged, is_known
from archspec.weights.formats.weight_files import read_weights

STATE = {"archspec.epoch": 3, "archspec.best": 0.5}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a checkpoint of training."""
    return written(tmp_path_factory.mktemp("whole") / "last.ckpt", STATE)


def written(path: Path, state: dict[str, float] | None) -> bytes:
    prepare()
    import mindspore as ms

    rng = np.random.default_rng(0)
    arrays = {"stem.conv.weight": rng.normal(size=(3, 5)), "classifier.bias": rng.normal(size=4)}
    arrays |= {name: np.array(value) for name, value in (state or {}).items()}
    entries = [
        {"name": name, "data": ms.Tensor(array, ms.float32)} for name, array in arrays.items()
    ]
    ckpt.write_checkpoint(path, entries, with_digest=state is not None)
    return path.read_bytes()


def test_it_is_the_sha256_of_all_bytes_before_it_in_an_entry_as_mindspore_writes_one(whole):
    """MindSpore's own protobuf classes read it, and write the same bytes for it."""
    from mindspore.train.checkpoint_pb2 import Checkpoint

    held = Checkpoint.FromString(whole)
    last = Checkpoint(value=[held.value[-1]]).SerializeToString()
    assert whole.endswith(last)
    assert held.value[-1].tag == "archspec.digest"
    assert held.value[-1].tensor.tensor_content == sha256(whole[: -len(last)]).digest()


def test_mindspore_and_our_readers_find_what_was_written(whole, tmp_path):
    """The digest is one more entry for MindSpore, and no tensor of the network for us."""
    import mindspore as ms

    path = tmp_path / "last.ckpt"
    path.write_bytes(whole)
    mine = {"stem.conv.weight", "classifier.bias"}
    assert ms.load_checkpoint(str(path)).keys() == {
        "archspec.has_digest",
        *mine,
        *STATE,
        "archspec.digest",
    }
    assert ckpt.read_checkpoint(path).keys() == {*mine, *STATE}
    assert read_weights(path).tensors.keys() == mine


def test_a_flipped_bit_of_any_byte_is_noticed(whole, tmp_path):
    """Of tensors, of names, of what frames them, of the digest itself."""
    path = tmp_path / "last.ckpt"
    path.write_bytes(whole)
    assert not is_damaged(path)
    missed = []
    rng = random.Random(0)
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        if not is_damaged(path):
            missed.append(place)
    assert missed == []


@pytest.mark.parametrize("seed", range(50))
def test_a_file_with_random_damage_is_refused_by_its_name(seed, whole, tmp_path):
    """A bit, a byte, a run of zeros: R002, by the reader of a run and by that of any weights."""
    rng, damaged = random.Random(seed), bytearray(whole)
    place = rng.randrange(len(whole))
    kind = rng.choice(["bit", "byte", "zeros"])
    if kind == "bit":
        damaged[place] ^= 1 << rng.randrange(8)
    elif kind == "byte":
        damaged[place] ^= rng.randrange(1, 256)
    else:
        damaged[place : place + 64] = bytes(len(damaged[place : place + 64]))
    path = tmp_path / "last.ckpt"
    path.write_bytes(damaged)
    for read in (ckpt.read_checkpoint, read_weights):
        with pytest.raises(ModelFileError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path} R002 is "), kind


def test_every_cut_and_every_byte_too_many_is_noticed(whole, tmp_path):
    """Also a cut between two entries, which leaves a checkpoint that MindSpore reads."""
    path = tmp_path / "last.ckpt"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert is_damaged(path) or not is_known(path)
        with pytest.raises(ModelFileError, match="R002 is "):
            ckpt.read_checkpoint(path)
    path.write_bytes(whole + whole[:10])
    assert is_damaged(path)


def test_files_without_a_digest_are_read_as_before(tmp_path):
    """Those of weights alone, as `convert` and MindCV write them: nothing stands beside them."""
    import mindspore as ms

    path = tmp_path / "weights.ckpt"
    raw = written(path, None)
    assert not is_known(path)
    assert not is_damaged(path)
    assert b"archspec" not in raw
    assert ms.load_checkpoint(str(path)).keys() == ckpt.read_checkpoint(path).keys()
