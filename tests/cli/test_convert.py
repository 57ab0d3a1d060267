"""`densenet convert` as a user runs it: real processes, real files."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import densenet, passed, refused
from PIL import Image
from weights.networks import own_name, same, weights_of
from weights.torch_files import (
    archive,
    foreign,
    number,
    ordered,
    plain,
    save,
    state_dict,
    word,
)

from archspec.weights.formats.weight_files import read_tensors, write_tensors

SPEC = ("--spec", "densenetbc_digits")
CASES = Path(__file__).parents[1] / "cases"


@pytest.fixture
def images(tmp_path):
    """Ten folders of two grey images each."""
    rng = np.random.default_rng(0)
    for index in range(20):
        folder = tmp_path / "images" / str(index % 10)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (8, 8), np.uint8)).save(folder / f"{index}.png")
    return tmp_path / "images"


@pytest.mark.slow
def test_torchs_weights_of_a_trained_network_validate(digits_run, images, tmp_path):
    """Ours to torchvision's names and back; the line that comes next works,
    with the same accuracy.
    """
    best = next((digits_run / "checkpoints").glob("best*.ckpt"))
    out = passed(
        densenet(
            "convert", best, *SPEC, "-o", "tv.safetensors", "--to", "torchvision", cwd=tmp_path
        )
    )
    assert "Next:" not in out
    assert "set aside: archspec (8)" in out
    held = read_tensors(tmp_path / "tv.safetensors")
    save(
        tmp_path / "tv.pth",
        {f"module.{name}": array for name, array in held.items()},
        wrap="state_dict",
    )
    out = passed(densenet("convert", "tv.pth", *SPEC, "-o", "back.ckpt", cwd=tmp_path))
    assert out.splitlines() == [
        "tv.pth is a torch .pth file, names: torchvision's and timm's, each after 'module.'",
        "92 tensors: 65,410 parameters, 1,848 moving statistics",
        "set aside: epoch (1), optimizer (1)",
        "wrote back.ckpt",
        "Next: densenet validate densenetbc_digits --ckpt back.ckpt --data-dir DIR",
    ]
    ours, back = read_tensors(best), read_tensors(tmp_path / "back.ckpt")
    assert same(dict(back), {name: ours[name] for name in back})
    shutil.copy(best, tmp_path / "best.ckpt")
    found = [
        passed(
            densenet(
                "validate", "densenetbc_digits", "--ckpt", ckpt, "--data-dir", images, cwd=tmp_path
            )
        )
        for ckpt in ("back.ckpt", "best.ckpt")
    ]
    assert "top-1" in found[0]
    assert found[0] == found[1].replace("best.ckpt", "back.ckpt")


def test_names_of_ones_own(tmp_path):
    """Unknown names lead to --by-order, that to a map, and the map to the same weights."""
    weights = weights_of("densenetbc_digits", "growth_rate=4", "head.num_classes=3")
    given = (*SPEC, "--set", "growth_rate=4")
    save(tmp_path / "mine.pth", {own_name(name): array for name, array in weights.items()})
    refused(
        densenet("convert", "mine.pth", *given, "-o", "x.ckpt", cwd=tmp_path), "R011", "--by-order"
    )
    out = passed(
        densenet("convert", "mine.pth", *given, "--by-order", "--suggest", "map.yaml", cwd=tmp_path)
    )
    assert "mine.pth is a torch .pth file, paired by order" in out
    assert "note: 3 classes as in the file; densenetbc_digits_growth_rate_4 has 10" in out
    assert "wrote map.yaml: read it, then --map map.yaml" in out
    out = passed(
        densenet("convert", "mine.pth", *given, "--map", "map.yaml", "-o", "x.ckpt", cwd=tmp_path)
    )
    assert (
        "Next: densenet validate densenetbc_digits --ckpt x.ckpt --set growth_rate=4 --data-dir DIR"
        in out
    )
    assert same(read_tensors(tmp_path / "x.ckpt"), weights)


def test_a_hostile_file_is_refused_and_runs_nothing(tmp_path):
    """One line, exit 1, no file."""
    body = ordered({"w": b"cposix\nsystem\n(" + word("touch ran") + b"tR"})
    (tmp_path / "evil.pth").write_bytes(archive(body, []))
    done = densenet("convert", "evil.pth", *SPEC, "-o", "x.ckpt", cwd=tmp_path)
    lines = refused(done, "evil.pth R010", "posix.system")
    assert lines.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["evil.pth"]


def test_wrong_use_is_told(tmp_path):
    """Nothing to write, ways that exclude each other, an unknown naming: exit 2."""
    write_tensors(tmp_path / "x.safetensors", weights_of("densenetbc_digits"))
    for arguments, word_of_it in (
        ((), "--suggest"),
        (("-o", "y.ckpt", "--by-order", "--map", "m.yaml"), "--by-order"),
        (("-o", "y.ckpt", "--from", "keras"), "torchvision_old"),
    ):
        done = densenet("convert", "x.safetensors", *SPEC, *arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert word_of_it in done.stderr
    refused(
        densenet("convert", "x.safetensors", *SPEC, "-o", "y.pth", cwd=tmp_path),
        "y.pth W001",
        ".safetensors",
    )


@pytest.mark.slow
def test_what_a_checkpoint_does_not_say_is_said_and_settled(tmp_path):
    """The order in which its network joins: a note, or what a witness proves."""
    file, spec = CASES / "newest_first.pth", CASES / "small_net.yaml"
    given = ("convert", file, "--spec", spec, "--by-order", "-o", "x.ckpt")
    out = passed(densenet(*given, cwd=tmp_path))
    assert out.count("note: a checkpoint does not say in which order") == 1
    out = passed(densenet(*given, "--like", CASES / "newest_first.npz", cwd=tmp_path))
    assert "note: joined newest_first, the network gives the output of" in out
    refused(
        densenet(*given[:-1], "y.ckpt", "--like", CASES / "lists_apart.npz", cwd=tmp_path),
        "R014",
        "in no order",
    )
    assert not (tmp_path / "y.ckpt").exists()


def test_a_strangers_words_stay_in_their_line(tmp_path):
    """Names beside the weights cannot move the cursor, and a hundred of them are a line."""
    weights = weights_of("densenetbc_digits")
    beside = {f"\x1b[2J\n{k}": number(k) for k in range(100)}
    body = plain({"state_dict": state_dict(weights), **beside, "dir": foreign("pathlib.PosixPath")})
    raws = [array.tobytes() for array in weights.values()]
    (tmp_path / "x.pth").write_bytes(archive(body, raws))
    out = passed(densenet("convert", "x.pth", *SPEC, "-o", "x.safetensors", cwd=tmp_path))
    assert "\x1b" not in out
    assert out.splitlines()[2].startswith(r"set aside: \x1b[2J\n0 (1), \x1b[2J\n1 (1), ")
    assert out.splitlines()[2].endswith(", and 91 more")
    assert out.splitlines()[3] == (
        "note: the file asks for pathlib.PosixPath beside its numbers; nothing of it was run"
    )
