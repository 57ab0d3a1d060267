"""Checkpoints are whole or not there,
and one that does not fit is refused with all that is wrong.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from archspec.errors import ModelFileError, TrainingError
from archspec.runtime import prepare
from archspec.train.run import checkpoint
from archspec.train.run.position import Position
from archspec.weights.formats.checkpoint_digest import DAMAGED

SAVE_FOR_EVER = """
import sys
from pathlib import Path
from archspec.runtime import prepare
prepare()
import numpy as np
import mindspore as ms
from archspec.train.run import checkpoint
from archspec.train.run.position import Position
epoch = 0
while True:
    epoch += 1
    array = np.full((250, 400), epoch, np.float32)
    values = [ms.Parameter(array, name=name) for name in "abcdefgh"]
    checkpoint.save(Path(sys.argv[1]), values, Position(epoch=epoch, best=epoch / 1e6))
    print(epoch, flush=True)
"""


def parameters(**values):
    """Parameters of a network, from arrays by name."""
    prepare()
    import mindspore as ms

    return [
        ms.Parameter(np.asarray(value, np.float32), name=name) for name, value in values.items()
    ]


def layers(**values):
    """Parameters called `layer.NAME`."""
    made = parameters(**values)
    for parameter in made:
        parameter.name = f"layer.{parameter.name}"
    return made


def faults(path, wanted):
    with pytest.raises(ModelFileError) as caught:
        checkpoint.restore(path, wanted)
    return [str(fault) for fault in caught.value.diagnostics]


@pytest.fixture
def saved(tmp_path) -> Path:
    path = tmp_path / "last.ckpt"
    rng = np.random.default_rng(0)
    values = {"weight": rng.normal(size=(3, 5)), "bias": rng.normal(size=3)}
    checkpoint.save(path, layers(**values), Position(epoch=7, best=0.875))
    return path


def test_what_was_saved_comes_back_bit_for_bit(tmp_path):
    """Parameters, epochs done and the best accuracy; nothing else lies in the folder;
    others may read the file.
    """
    values = {"weight": np.random.default_rng(0).normal(size=(3, 5)), "bias": [1e-38, -0.0, np.pi]}
    path = tmp_path / "last.ckpt"
    checkpoint.save(path, layers(**values), Position(epoch=7, best=0.8712345678))
    fresh = layers(weight=np.zeros((3, 5)), bias=np.zeros(3))
    held = checkpoint.restore(path, fresh)
    for parameter, value in zip(fresh, values.values(), strict=True):
        assert parameter.asnumpy().tobytes() == np.asarray(value, np.float32).tobytes()
    assert Position.of(held).epoch == 7
    assert Position.of(held).best == 0.8712345678
    assert os.listdir(tmp_path) == ["last.ckpt"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_saving_again_replaces_the_file(saved):
    """The next epoch's write succeeds, though MindSpore writes files that may not be written."""
    checkpoint.save(
        saved, layers(weight=np.ones((3, 5)), bias=np.ones(3)), Position(epoch=8, best=0.9)
    )
    fresh = layers(weight=np.zeros((3, 5)), bias=np.zeros(3))
    assert Position.of(checkpoint.restore(saved, fresh)).epoch == 8
    assert (fresh[0].asnumpy() == 1).all()


def killed_while_saving(path: Path, after_seconds: float) -> None:
    """Kill a process that saves again and again, some time after its first checkpoint."""
    script = [sys.executable, "-c", SAVE_FOR_EVER, str(path)]
    with subprocess.Popen(
        script, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        time.sleep(after_seconds)
        process.send_signal(signal.SIGKILL)


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 8))]
)
def test_a_kill_in_the_middle_of_a_write_leaves_a_whole_file(seed, tmp_path):
    """The checkpoint is that of one epoch altogether,
    and the next write clears away what was left.
    """
    path = tmp_path / "last.ckpt"
    killed_while_saving(path, random.Random(seed).uniform(0.05, 0.3))
    fresh = parameters(**{name: np.zeros((250, 400)) for name in "abcdefgh"})
    held = checkpoint.restore(path, fresh)
    epoch = Position.of(held).epoch
    assert epoch >= 1
    assert all((parameter.asnumpy() == epoch).all() for parameter in fresh)
    checkpoint.save(path, fresh, Position(epoch=epoch + 1, best=0.0))
    assert os.listdir(tmp_path) == ["last.ckpt"]


def test_a_write_that_fails_leaves_the_former_file_and_no_other(saved):
    """The folder takes no new file: a T003 that names the checkpoint."""
    before = saved.read_bytes()
    blocker = saved.parent / ".last.partial.tmp"
    blocker.mkdir()  # where MindSpore would write first
    with pytest.raises((TrainingError, OSError)):
        checkpoint.save(
            saved, layers(weight=np.ones((3, 5)), bias=np.ones(3)), Position(epoch=8, best=0.9)
        )
    assert saved.read_bytes() == before


DAMAGES = {
    "nothing": lambda whole: b"",
    "a byte": lambda whole: whole[:1],
    "half": lambda whole: whole[: len(whole) // 2],
    "all but the last byte": lambda whole: whole[:-1],
    "random bytes": lambda whole: random.Random(1).randbytes(4096),
    "text": lambda whole: b"epoch 1: all is well\n" * 50,
    "zeros": lambda whole: bytes(4096),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_gives_one_error_that_names_it(damage, saved):
    """R002 and the file, nothing of MindSpore's own words; the network is as it was."""
    saved.write_bytes(DAMAGES[damage](saved.read_bytes()))
    fresh = layers(weight=np.zeros((3, 5)), bias=np.zeros(3))
    (fault,) = faults(saved, fresh)
    assert fault.startswith(f"{saved} R002 is ")
    assert "\n" not in fault
    assert not fresh[0].asnumpy().any()


def test_no_cut_of_a_file_is_taken_for_whole(saved):
    """Cut at every length: R002, or R003 where the cut fell between two parameters."""
    whole = saved.read_bytes()
    for length in range(len(whole)):
        saved.write_bytes(whole[:length])
        found = faults(saved, layers(weight=np.zeros((3, 5)), bias=np.zeros(3), last=np.zeros(1)))
        assert all(" R00" in fault for fault in found), length


def test_absent_unreadable_and_misnamed_files_are_told_apart(tmp_path):
    """R001 for what is not there or is no file, R002 for another kind of file."""
    (tmp_path / "weights.pth").write_bytes(b"PK")
    assert faults(tmp_path / "none.ckpt", []) == [
        f"{tmp_path / 'none.ckpt'} R001 there is no such checkpoint"
    ]
    assert " R001 " in faults(tmp_path, [])[0]
    assert "R002 must be a .ckpt file" in faults(tmp_path / "weights.pth", [])[0]


def test_all_parameters_that_do_not_fit_are_listed_at_once(saved):
    """Missing, with the nearest name; of another shape; and those that the network lacks."""
    wanted = [*layers(weight=np.zeros((3, 4))), *parameters(other=np.zeros(2))]
    wanted[1].name = "layer.bias2"
    found = faults(saved, wanted)
    assert [fault.replace(str(saved), "FILE") for fault in found] == [
        "FILE R003 has layer.weight as (3, 5), the network needs (3, 4)",
        "FILE R003 lacks layer.bias2 (it has layer.bias)",
        "FILE R003 has layer.bias, which the network lacks",
    ]
    assert not wanted[0].asnumpy().any()


def test_a_classifier_of_another_size_tells_the_likely_cause(tmp_path):
    """Only where the number of classes differs, not where the features do."""
    path = tmp_path / "best.ckpt"
    held = parameters(w=np.zeros((10, 8)))
    held[0].name = "classifier.weight"
    checkpoint.save(path, held, Position(epoch=1, best=0.0))
    for shape, likely in (((12, 8), True), ((10, 9), False)):
        wanted = parameters(w=np.zeros(shape))
        wanted[0].name = "classifier.weight"
        assert ("number of classes" in faults(path, wanted)[0]) is likely


def test_more_than_twenty_faults_are_counted(tmp_path):
    """The first twenty in words, then the number of the others."""
    path = tmp_path / "small.ckpt"
    checkpoint.save(path, parameters(a=[1]), Position(epoch=1, best=0.0))
    found = faults(path, parameters(a=[1], **{f"b{number}": [0] for number in range(25)}))
    assert len(found) == 21
    assert "and 5 more" in found[-1]


def test_an_optimizers_state_in_the_file_is_no_fault(tmp_path):
    """A checkpoint to resume from serves to validate; so do MindCV's."""
    path = tmp_path / "last.ckpt"
    state = parameters(weight=[1, 2], global_step=[3], learning_rate=[0.1], momentum=[0.9])
    more = parameters(a=[0, 0], b=[0, 0], c=[0, 0])
    for parameter, name in zip(more, ("moments.weight", "accum.weight", "ema.weight"), strict=True):
        parameter.name = name
    checkpoint.save(path, [*state, *more], Position(epoch=1, best=0.5))
    fresh = parameters(weight=[0, 0])
    checkpoint.restore(path, fresh)
    assert fresh[0].asnumpy().tolist() == [1, 2]


@pytest.mark.parametrize("seed", range(8))
def test_a_flipped_bit_of_a_tensor_is_never_taken_for_a_weight(seed, saved):
    """What training itself writes ends with a digest: what MindSpore would read is refused."""
    whole = bytearray(saved.read_bytes())
    start = bytes(whole).index(np.random.default_rng(0).normal(size=(3, 5)).astype("<f4").tobytes())
    rng = random.Random(seed)
    whole[start + rng.randrange(60)] ^= 1 << rng.randrange(8)
    saved.write_bytes(whole)
    assert not checkpoint.is_whole(saved)
    fresh = layers(weight=np.zeros((3, 5)), bias=np.zeros(3))
    assert faults(saved, fresh) == [f"{saved} R002 {DAMAGED}"]
    assert (fresh[0].asnumpy() == 0).all()


def test_state_that_a_recipe_has_asked_for_since_begins_anew(tmp_path):
    """Averages and copies are of the parameters as they are now; what else is new stays as made."""
    path = tmp_path / "last.ckpt"
    mine = parameters(**{"layer.weight": [1.0, 2.0], "moments.layer.weight": [3.0, 4.0]})
    checkpoint.save(path, mine, Position(epoch=1))
    names = ("layer.weight", "moments.layer.weight", "ema.layer.weight", "accum.layer.weight")
    fresh = parameters(**{name: [0.0, 0.0] for name in names})
    _, lacking = checkpoint.restore_state(path, fresh)
    assert lacking == ("ema", "accum")
    assert [list(p.asnumpy()) for p in fresh] == [[1, 2], [3, 4], [1, 2], [0, 0]]
    with pytest.raises(ModelFileError, match=r"lacks layer\.bias"):
        checkpoint.restore_state(path, parameters(**{"layer.weight": [0, 0], "layer.bias": [0]}))
