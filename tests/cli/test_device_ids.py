"""`--device-ids` where a network is used, as where it is trained."""

import os

import pytest
import typer
from conftest import densenet, refused

from archspec.machine.ascend import list_devices
from densenet_cli.device_ids import count_device_ids

VALIDATE = ("validate", "densenetbc_digits", "--ckpt", "no.ckpt")
PREDICT = ("predict", "densenetbc_digits", "no.png", "--ckpt", "no.ckpt")


def test_named_devices_are_all_that_mindspore_sees(monkeypatch):
    """It is not imported yet; nothing said leaves what the user has set."""
    monkeypatch.setenv("ASCEND_RT_VISIBLE_DEVICES", "1,3")
    assert count_device_ids(None, 2, "Ascend") == 2
    assert os.environ["ASCEND_RT_VISIBLE_DEVICES"] == "1,3"
    assert count_device_ids("0, 2,5", 1, "Ascend") == 3
    assert os.environ["ASCEND_RT_VISIBLE_DEVICES"] == "0,2,5"
    with pytest.raises(typer.BadParameter):
        count_device_ids("0,2", 3, "Ascend")


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("", "say some, 0,2,5"),
        ("0,", "0, is no list such as 0,2,5"),
        ("0-3", "0-3 is no list"),
        ("1,-2", "1,-2 is no list"),
        ("9" * 5000, "9... is no list"),
        ("0\n1", r"0\n1' is no list"),
        ("1, 01", "1, 01 names a device twice"),
        ("4", "4 names 1 device, --devices says 3"),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_list_of_so_many_devices_is_refused(named, words, monkeypatch):
    """Nothing is hidden from MindSpore then."""
    monkeypatch.delenv("ASCEND_RT_VISIBLE_DEVICES", raising=False)
    with pytest.raises(typer.BadParameter) as caught:
        count_device_ids(named, 3, "Ascend")
    assert words in str(caught.value)
    assert "ASCEND_RT_VISIBLE_DEVICES" not in os.environ


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((*VALIDATE, "--device-ids", "0,2"), "goes with --device-target Ascend"),
        ((*PREDICT, "--device-ids", "0", "--device-target", "CPU"), "goes with --device-target"),
        ((*VALIDATE, "--hang-after", "9"), "goes with several --devices"),
        (
            (*PREDICT, "--device-ids", "0,2", "--device-target", "Ascend"),
            "one process predicts, on one device",
        ),
    ],
)
def test_words_that_fit_neither_target_nor_command_are_refused(given, words, no_mindspore):
    """Before anything is opened."""
    done = densenet(*given, env=no_mindspore)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.replace("│", "").split())


@pytest.mark.slow
@pytest.mark.skipif(bool(list_devices()), reason="this machine has an Ascend device")
def test_a_validation_on_devices_that_are_not_here_starts_none(digits_run, tmp_path):
    """As training does."""
    given = ("--device-ids", "0,2", "--device-target", "Ascend")
    done = densenet("validate", digits_run, *given, cwd=tmp_path)
    refused(done, "E004 device_target (='Ascend') cannot be used: there is no Ascend device here")
