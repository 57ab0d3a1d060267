"""The table of published weights, the cache folder, and the sha256 that is kept there."""

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from https_server import certificate, serving

from archspec.errors import DownloadError, ModelFileError
from archspec.runtime import prepare
from archspec.spec.catalogue import shipped
from archspec.weights.download import LARGEST
from archspec.weights.published import (
    PUBLISHED,
    cache_folder,
    fetch_weights,
    find_address,
    find_cached_file,
    find_published,
    keep_local_file,
    read_kept,
)

NAME = "densenet121"
FILE = "densenet121-120_5004_Ascend.ckpt"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that MindSpore itself has written:
    tensors of several lengths, a scalar and an appended value.
    """
    prepare()
    import mindspore as ms

    file = tmp_path_factory.mktemp("ours") / "small.ckpt"
    shapes = ((), (1,), (3, 50), (64, 3, 7, 7))
    values = [
        {"name": f"p{len(shape)}", "data": ms.Tensor(np.ones(shape, np.float32))}
        for shape in shapes
    ]
    ms.save_checkpoint(values, str(file), append_dict={"epoch": 3})
    return file


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """A cache folder of the test's own, and no way to the publishers' servers."""
    monkeypatch.setenv("DENSENET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DENSENET_WEIGHTS_URL", "https://weights.invalid")
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache"


@pytest.fixture
def site(identity, checkpoint, monkeypatch):
    """A trusted mirror that has the checkpoint under each published name."""
    monkeypatch.setenv("SSL_CERT_FILE", str(identity[0]))
    with serving(*identity) as made:
        made.content = checkpoint.read_bytes()
        monkeypatch.setenv("DENSENET_WEIGHTS_URL", f"{made.url}/mirror/")
        yield made


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def left(cache: Path) -> set[str]:
    found = cache.iterdir() if cache.exists() else ()
    return {file.name for file in found if not file.name.endswith(".lock")}


# ---- the table


def test_each_published_name_is_a_shipped_spec_with_mindcvs_address(monkeypatch):
    """Of the four networks, each under its own name at MindCV's publisher."""
    monkeypatch.delenv("DENSENET_WEIGHTS_URL")
    assert list(PUBLISHED) == ["densenet121", "densenet161", "densenet169", "densenet201"]
    assert not PUBLISHED.keys() - shipped().keys()
    for name, found in PUBLISHED.items():
        assert found.naming == "mindcv"
        assert find_address(name) == found.address
        assert re.fullmatch(
            r"https://download\.mindspore\.cn/toolkits/mindcv/densenet/"
            rf"{name}-120_5004_Ascend\.ckpt",
            found.address,
        )


@pytest.mark.parametrize(
    ("name", "near"), [("densenet12l", "'densenet121'"), ("resnet50", ""), ("../x", "")]
)
def test_a_name_without_weights_lists_those_with(name, near):
    """And the nearest of them, if any is near."""
    with pytest.raises(
        DownloadError, match=r"N001 .*published: densenet121, densenet161"
    ) as caught:
        find_published(name)
    assert ("did you mean" in str(caught.value)) == bool(near)
    assert near in str(caught.value)


def test_a_mirror_replaces_the_folder_alone(monkeypatch):
    """With or without a slash at its end."""
    for folder in ("https://mirror.example/a", "https://mirror.example/a/"):
        monkeypatch.setenv("DENSENET_WEIGHTS_URL", folder)
        assert find_address(NAME) == f"https://mirror.example/a/{FILE}"


# ---- the cache folder


def test_the_cache_folder_is_the_users_choice_then_xdgs_then_home(monkeypatch, tmp_path):
    """A relative XDG folder is ignored, as its specification says."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("DENSENET_CACHE", "~/mine")
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("DENSENET_CACHE")
    assert cache_folder() == tmp_path / "xdg/densenet-archspec"
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert cache_folder() == tmp_path / ".cache/densenet-archspec"


# ---- getting


def test_weights_are_downloaded_once_and_their_digest_kept(site, cache, checkpoint):
    """The second time the server is not asked; the digest is what hashlib says."""
    file = fetch_weights(NAME)
    assert file == find_cached_file(NAME) == cache / FILE
    assert file.read_bytes() == checkpoint.read_bytes()
    assert left(cache) == {FILE, f"{FILE}.sha256"}
    assert json.loads((cache / f"{FILE}.sha256").read_text()) == {
        "sha256": digest(checkpoint),
        "bytes": checkpoint.stat().st_size,
        "from": f"{site.url}/mirror/{FILE}",
    }
    assert fetch_weights(NAME) == file
    assert len(site.sent) == 1


def test_another_file_under_the_same_name_is_refused(site, cache, checkpoint):
    """Trust on first use, even when the first file is gone;
    the error says how to trust the new one.
    """
    fetch_weights(NAME).unlink()
    site.content = checkpoint.read_bytes() * 2
    with pytest.raises(
        DownloadError, match=r"N007 has the sha256 \w{64}, but \w{64} was kept"
    ) as caught:
        fetch_weights(NAME)
    assert left(cache) == {f"{FILE}.sha256"}
    cure = re.search(r"rm (\S+)\)", str(caught.value))
    Path(cure[1]).unlink()
    assert fetch_weights(NAME).read_bytes() == site.content


def test_a_cached_file_that_has_changed_is_refused_with_the_cure(
    site, cache, tmp_path, monkeypatch
):
    """One bit; the cure works as it is written, in a folder whose name a shell would split."""
    monkeypatch.setenv("DENSENET_CACHE", str(tmp_path / "my cache's"))
    file = fetch_weights(NAME)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(DownloadError, match="N007 has changed since it was kept") as caught:
        fetch_weights(NAME)
    cure = re.search(r"\((rm .*) && densenet weights get densenet121\)$", str(caught.value))
    subprocess.run(["sh", "-c", cure[1]], check=True)
    assert digest(fetch_weights(NAME)) == read_kept(file).sha256


@pytest.mark.parametrize(
    "note", ["", "{", "[]", '{"sha256": "abc", "bytes": 3}', '{"sha256": 7, "bytes": Infinity}']
)
def test_a_damaged_note_is_refused_with_the_cure(note, site, cache):
    """It may not be taken for no note at all."""
    fetch_weights(NAME)
    (cache / f"{FILE}.sha256").write_text(note)
    with pytest.raises(DownloadError, match=rf"{FILE}.sha256 N007 holds no sha256 .*rm "):
        fetch_weights(NAME)


def test_a_file_that_was_put_there_by_hand_is_trusted_if_it_is_a_checkpoint(cache, checkpoint):
    """From then on its digest is kept."""
    cache.mkdir()
    shutil.copy(checkpoint, cache / FILE)
    assert fetch_weights(NAME) == cache / FILE
    assert read_kept(cache / FILE).sha256 == digest(checkpoint)
    (cache / f"{FILE}.sha256").unlink()
    (cache / FILE).chmod(0o600)
    (cache / FILE).write_bytes(b"<html>")
    with pytest.raises(ModelFileError, match=rf"{FILE} R002"):
        fetch_weights(NAME)


@pytest.mark.parametrize("spoil", ["page", "short", "long", "newline", "newlines"])
def test_what_is_no_whole_checkpoint_is_not_trusted(spoil, site, cache, checkpoint):
    """A page that says sorry, a file whose length the server tells wrong, a text;
    nothing is left or kept.
    """
    whole = checkpoint.read_bytes()
    wrong = {
        "page": b"<html>sorry</html>",
        "short": whole[:-1],
        "long": whole + b"\x00",
        "newline": b"\n",
        "newlines": b"\n\n\n",
    }
    site.content = wrong[spoil]
    with pytest.raises(ModelFileError, match=rf"{FILE} R002 is no whole MindSpore checkpoint"):
        fetch_weights(NAME)
    assert left(cache) == set()


def test_without_network_the_error_says_all_that_helps(cache):
    """The address, the folder and the command."""
    with pytest.raises(DownloadError) as caught:
        fetch_weights(NAME)
    text = str(caught.value)
    assert text.startswith(f"https://weights.invalid/{FILE} N003 cannot be reached: ")
    assert f"`densenet weights get densenet121 --from-file {FILE}` copies it into {cache}" in text


# ---- from a file


def test_a_file_from_elsewhere_is_copied_and_then_serves_without_network(cache, checkpoint):
    """Its digest is kept; the file itself is untouched."""
    before = checkpoint.read_bytes()
    file = keep_local_file(NAME, checkpoint)
    assert file == cache / FILE
    assert file.read_bytes() == checkpoint.read_bytes() == before
    assert read_kept(file).sha256 == digest(checkpoint)
    assert left(cache) == {FILE, f"{FILE}.sha256"}
    assert fetch_weights(NAME) == file


def test_a_file_from_elsewhere_must_have_the_digest_that_is_kept(cache, checkpoint, tmp_path):
    """The one in the cache stays as it is."""
    keep_local_file(NAME, checkpoint)
    other = tmp_path / "other.ckpt"
    other.write_bytes(checkpoint.read_bytes() * 2)
    with pytest.raises(DownloadError, match=r"other.ckpt N007 has the sha256"):
        keep_local_file(NAME, other)
    assert digest(cache / FILE) == digest(checkpoint)
    assert left(cache) == {FILE, f"{FILE}.sha256"}


def test_a_file_from_elsewhere_mends_a_cache_that_has_changed(cache, checkpoint):
    """It has the digest that is kept."""
    keep_local_file(NAME, checkpoint).write_bytes(b"spoilt")
    keep_local_file(NAME, checkpoint)
    assert fetch_weights(NAME).read_bytes() == checkpoint.read_bytes()


def test_a_file_from_elsewhere_ends_a_download_that_was_cut(site, cache, checkpoint):
    """Its part is no longer needed."""
    site.cut_after = 100
    with pytest.raises(DownloadError, match="N006"):
        fetch_weights(NAME)
    assert f"{FILE}.partial" in left(cache)
    keep_local_file(NAME, checkpoint)
    assert left(cache) == {FILE, f"{FILE}.sha256"}


def test_files_that_are_none_are_refused_and_nothing_is_made(cache, checkpoint, tmp_path):
    """Absent, a folder, cut short, a picture, too large."""
    (tmp_path / "short.ckpt").write_bytes(checkpoint.read_bytes()[:-1])
    (tmp_path / "cat.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "empty.ckpt").touch()
    with (tmp_path / "large.ckpt").open("wb") as large:
        large.truncate(LARGEST + 1)
    names = {
        "absent.ckpt": "R001",
        "short.ckpt": "R002",
        "cat.jpg": "R002",
        "empty.ckpt": "R002",
        "": "R002",
    }
    for name, code in {**names, "large.ckpt": "R002"}.items():
        with pytest.raises(ModelFileError, match=f"{name} {code}"):
            keep_local_file(NAME, tmp_path / name)
    assert left(cache) == set()
