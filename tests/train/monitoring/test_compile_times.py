"""How long a network took to compile the last time, and what becomes of a file that lies."""

import dataclasses

import pytest

from archspec.train.monitoring.compile_times import FOLDER, read_last, remember, tell_compilation
from archspec.train.run.run_directory import Settings

SETTINGS = Settings(
    data_dir=None,
    data_kind="digits",
    classes=("0", "1"),
    device_target="CPU",
    devices=1,
    structure_digest="ab" * 32,
    versions={},
)
VALUES = ('"5"', "null", "-1", "1e999", "NaN", "1e300", f"5{' ' * 2_000}")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DENSENET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_next_compilation_of_a_network_is_told_with_the_last(cache):
    """Of this network on this kind and number of devices, and of no other."""
    told = []
    for _ in range(2):
        with tell_compilation(SETTINGS, told.append, keep=True):
            pass
    first, done, again, _ = told
    assert first == {"event": "phase", "phase": "compiling"}
    assert (done["phase"], done["compile_seconds"] >= 0) == ("training", True)
    if done["compile_seconds"] >= 0.0005:
        assert again["last_seconds"] == round(done["compile_seconds"], 3)
    remember(SETTINGS, 21.25)
    assert read_last(SETTINGS) == 21.25
    for change in ({"structure_digest": "cd" * 32}, {"devices": 2}, {"device_target": "Ascend"}):
        assert read_last(dataclasses.replace(SETTINGS, **change)) is None


def test_a_network_that_is_kept_compiled_has_times_of_its_own(cache):
    """Nobody is promised the long time for the short one, nor the other way round."""
    remember(SETTINGS, 20.0)
    told = []
    for _ in range(2):
        with tell_compilation(SETTINGS, told.append, keep=True, is_kept=True):
            pass
    first, _, again, _ = told
    assert first == {"event": "phase", "phase": "compiling", "is_kept": True}
    assert again.get("last_seconds", 0) < 20
    assert read_last(SETTINGS) == 20.0


def test_only_one_process_of_a_run_remembers(cache):
    with tell_compilation(SETTINGS, lambda event: None, keep=False):
        pass
    assert not cache.exists()


LIES = ("", "{", "[]", "{}", *(f'{{"seconds": {value}}}' for value in VALUES))


@pytest.mark.parametrize("text", LIES)
def test_a_file_that_says_no_time_is_as_none(cache, text):
    remember(SETTINGS, 3.0)
    (file,) = (cache / FOLDER).iterdir()
    file.write_text(text)
    assert read_last(SETTINGS) is None
    remember(SETTINGS, 4.0)
    assert read_last(SETTINGS) == 4.0


def test_a_cache_that_cannot_be_used_stops_nothing(tmp_path, monkeypatch):
    """A file in the folder's place, and no home at all."""
    (tmp_path / "taken").touch()
    monkeypatch.setenv("DENSENET_CACHE", str(tmp_path / "taken"))
    remember(SETTINGS, 3.0)
    assert read_last(SETTINGS) is None
    monkeypatch.delenv("DENSENET_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    remember(SETTINGS, 3.0)
    assert read_last(SETTINGS) is None
