"""A command that is forked is the command that is started, in each way of its ending."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
from conftest import run_anew
from warm_process import WARM, is_read_at_start


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["check", "plan.yaml"], 0),
        (["check", "none.yaml"], 1),
        (["check"], 2),
    ],
)
def test_it_prints_and_ends_as_an_interpreter_of_its_own(
    words: list[str], code: int, tmp_path: Path
) -> None:
    """Words, folder, streams and exit code are the command's own, those of the help too."""
    (tmp_path / "plan.yaml").write_text("growth_rate: 4\nblock_config: [1, 1]\n")
    forked = WARM[""].run(words, tmp_path, os.environ, 60)
    anew = run_anew(*words, cwd=tmp_path)
    assert (forked.returncode, forked.stdout, forked.stderr) == (code, anew.stdout, anew.stderr)
    assert anew.returncode == code


def test_its_environment_is_what_it_is_given(tmp_path: Path) -> None:
    """Nothing stays of a command before it."""
    for folder in tmp_path / "a", tmp_path / "b":
        environment = {**os.environ, "DENSENET_CACHE": str(folder)}
        done = WARM[""].run(["weights", "list"], tmp_path, environment, 60)
        assert f"cache folder: {folder}\n" in done.stdout


def test_mindspore_cannot_be_imported_where_it_is_taken_away(
    no_mindspore: Mapping[str, str], tmp_path: Path
) -> None:
    """What passes without it has not found it in the process that was forked."""
    own = {**os.environ, **no_mindspore}
    words = ["train", "--set", "block_config=[1, 1]", "--out", "run"]
    done = WARM[no_mindspore["PYTHONPATH"]].run(words, tmp_path, own, 60)
    assert done.returncode == 1
    assert "mindspore was imported" in done.stderr


@pytest.mark.parametrize("name", ["PYTHONIOENCODING", "COLUMNS", "GLOG_v", "OMP_NUM_THREADS"])
def test_what_is_read_at_the_start_is_not_told_afterwards(name: str) -> None:
    """Those commands are started anew."""
    assert is_read_at_start({name: "1"})
