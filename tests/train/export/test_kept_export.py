"""`--engine` on a run: it is exported once, kept, and judged with."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import densenet, passed

from archspec.errors import ArchspecError
from archspec.runtime import prepare
from archspec.train import evaluate
from archspec.train.export import kept_export
from archspec.train.inference.open_trained import open_trained

NAME = "densenetbc_digits"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    prepare()
    monkeypatch.setenv("DENSENET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / kept_export.FOLDER


def answers(network: Any) -> Any:
    """What a network gives for all held-out images, in their order."""
    from mindspore import Tensor

    judge, source = network.judge(), network.held_out(None)
    batches = network.batches(source, 60)
    rows = [judge(Tensor(images)).asnumpy() for images, _ in batches]
    return np.concatenate(rows)[: len(source)]


@pytest.mark.parametrize(
    "engine", ["onnxruntime", pytest.param("openvino", marks=pytest.mark.slow)]
)
def test_each_image_is_the_same_class_as_in_mindspore(
    engine: Any, digits_run: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time nothing is exported."""
    pytest.importorskip(engine, reason=f"{engine} is not installed")
    plain = open_trained(str(digits_run))
    wanted = answers(plain)
    first = open_trained(str(digits_run), engine=engine)
    (kept,) = cache.iterdir()
    (note,) = first.notes
    assert note.startswith("exported for ")
    assert note.endswith(f"kept as {kept}")
    monkeypatch.setattr(kept_export, "export_onnx", None)
    second = open_trained(str(digits_run), engine=engine)
    assert second.notes[0].endswith(f"is kept as {kept}")
    for network in (first, second):
        found = answers(network)
        assert (found.argmax(1) == wanted.argmax(1)).all()
        assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
    judged, known = (evaluate(each, batch_size=50) for each in (second, plain))
    assert (judged.top1, judged.top5, judged.images) == (known.top1, known.top5, known.images)


@pytest.mark.slow
def test_what_is_kept_is_made_anew_where_it_is_damaged_or_another_networks(
    digits_run: Path, cache: Path
) -> None:
    open_trained(str(digits_run), engine="onnxruntime")
    (kept,) = cache.iterdir()
    whole = kept.read_bytes()
    for spoilt in (whole[:-9], b"", whole.replace(b"Conv", b"Cont", 1)):
        kept.write_bytes(spoilt)
        again = open_trained(str(digits_run), engine="onnxruntime")
        assert again.notes[0].startswith("exported for ")
        assert [file.read_bytes() for file in cache.iterdir()] == [whole]
    other = str(digits_run / "checkpoints" / "last.ckpt")
    found = open_trained(other, engine="onnxruntime")
    assert found.notes[-1].startswith("exported for ")
    assert len(list(cache.iterdir())) == 2
    of_spec = {"ckpt": digits_run / "checkpoints" / "best.ckpt", "engine": "onnxruntime"}
    assert evaluate(NAME, **of_spec).top1 == evaluate(str(digits_run)).top1
    assert len(list(cache.iterdir())) == 3


@pytest.mark.slow
def test_a_cache_that_takes_nothing_costs_time_alone(
    digits_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare()
    (tmp_path / "file").touch()
    monkeypatch.setenv("DENSENET_CACHE", str(tmp_path / "file"))
    found = open_trained(str(digits_run), engine="onnxruntime")
    assert found.notes[0].endswith("not kept: the cache folder takes nothing")
    assert evaluate(found).top1 == evaluate(str(digits_run)).top1


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"engine": "mindspore"}, "R004 mindspore runs it anyway: leave out --engine"),
        ({"engine": "openvino", "device_target": "CPU"}, "leave out --device-target"),
    ],
)
def test_what_does_not_go_with_an_engine_is_refused(
    asked: dict[str, Any], words: str, digits_run: Path, cache: Path
) -> None:
    with pytest.raises(ArchspecError, match=words):
        open_trained(str(digits_run), **asked)
    assert not cache.exists()


@pytest.mark.slow
def test_the_commands_say_what_they_did_in_one_line(digits_run: Path, tmp_path: Path) -> None:
    env = {"DENSENET_CACHE": str(tmp_path / "cache")}
    words = ("validate", digits_run, "--engine", "onnxruntime")
    told = passed(densenet(*words, cwd=tmp_path, env=env))
    assert len([line for line in told.splitlines() if "exported for ONNX Runtime" in line]) == 1
    plain = passed(densenet("validate", digits_run, cwd=tmp_path, env=env))
    assert [line for line in told.splitlines() if line.startswith("top-1")] == [
        line for line in plain.splitlines() if line.startswith("top-1")
    ]


@pytest.mark.slow
def test_a_full_folder_of_temporary_files_is_named(
    digits_run: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not the checkpoint, which nobody writes."""

    def refuse(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("archspec.writers.onnx.onnx_files.save_onnx", refuse)
    rule = f"{tempfile.gettempdir()} W002 cannot be written: No space left .*TMPDIR"
    with pytest.raises(ArchspecError, match=rule):
        open_trained(str(digits_run), engine="onnxruntime")


@pytest.mark.slow
def test_what_has_the_place_of_a_kept_file_is_named(digits_run: Path, cache: Path) -> None:
    open_trained(str(digits_run), engine="onnxruntime")
    (kept,) = cache.iterdir()
    kept.unlink()
    kept.mkdir()
    found = open_trained(str(digits_run), engine="onnxruntime")
    assert found.notes[0].endswith(f"not kept: the folder {kept} has its place")
