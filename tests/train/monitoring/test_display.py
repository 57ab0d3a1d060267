"""A run on the screen: a bar on a terminal, else plain lines, and lines in its log."""

import io

import pytest
from rich.console import Console

from archspec.train.monitoring.display import Display

START = {
    "event": "start",
    "train_images": 1295,
    "val_images": 143,
    "global_batch": 64,
    "epochs": 200,
    "steps": 20,
    "epochs_done": 0,
    "steps_done": 0,
}
STEP = {
    "event": "step",
    "epoch": 1,
    "step": 10,
    "loss": 2.052,
    "accuracy": 0.302,
    "images_per_second": 123_456.0,
    "learning_rate": 0.00012345,
}
EPOCH = {"event": "epoch", "epoch": 1, "loss": 2.0, "accuracy": 0.3, "seconds": 3.5}
COMPILING = {"event": "phase", "phase": "compiling", "last_seconds": 21.3}
TRAINING = {"event": "phase", "phase": "training", "compile_seconds": 20.0}
VALIDATING = {"event": "phase", "phase": "validating", "images": 143, "done": 64}


def draw_after(*events, width: int = 80) -> str:
    """The bar on a terminal after these events."""
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    with Display(console) as display:
        for event in events:
            display.show(event)
    # As `Live` draws it, which is off the screen again.
    with console.capture() as capture:
        console.print(display._draw_bar())
    return capture.get()


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([{"event": "phase", "phase": "starting", "processes": 2}], "starting 2 processes, 0 s"),
        ([START], "epoch   1/200"),
        ([START, COMPILING], "compiling the network, 0 s (last time 21 s)"),
        ([START, COMPILING, TRAINING, STEP], "loss 2.052  acc 30.2%"),
        ([START, COMPILING, TRAINING, STEP, VALIDATING], "validating 45%, 0 s"),
        ([START, TRAINING, STEP, VALIDATING, EPOCH], "loss 2.052  acc 30.2%"),
        ([START | {"epochs_done": 41}, COMPILING], "epoch  42/200"),
        ([START | {"epochs_done": 200}, VALIDATING], "epoch 200/200"),
        ([START, TRAINING, STEP, {"event": "end"}], "ending, 0 s"),
    ],
)
def test_the_bar_says_what_is_done_in_one_line_of_80_columns(events, words):
    line = draw_after(*events)
    assert words in line
    assert line.count("\n") == 1
    assert len(line.rstrip("\n")) < 80


@pytest.mark.parametrize("width", [40, 50, 60, 79, 80, 200])
def test_what_matters_least_goes_first_where_the_terminal_is_narrow(width):
    line = draw_after(START, COMPILING, TRAINING, STEP, width=width)
    assert line.count("\n") == 1
    assert len(line.rstrip("\n")) <= width
    assert "loss 2.052" in line
    assert ("lr 0.000123" in line) == (width == 200)


def test_a_file_gets_a_line_for_each_phase_that_takes_long_and_each_epoch(tmp_path):
    """And the run's log the same, so that it fills while the run goes on."""
    screen, log = io.StringIO(), tmp_path / "log.txt"
    with Display(Console(file=screen, width=120), log) as display:
        for event in (START, COMPILING, TRAINING, STEP, VALIDATING, EPOCH):
            display.show(event)
            assert log.read_text() == screen.getvalue()
    assert screen.getvalue().splitlines() == [
        "1,295 images to train on, 143 to choose by; global batch 64",
        "200 epochs of 20 steps",
        "compiling the network (last time 21 s)",
        "epoch   1/200  loss 2.0000  acc 30.00%   3.5 s",
    ]


def test_updates_that_were_left_out_are_told_when_there_are_more_of_them():
    screen = io.StringIO()
    display = Display(Console(file=screen, width=120))
    counts = (0, 2, 2, 3)
    for event in (START, *({**EPOCH, "skipped_updates": count} for count in counts)):
        display.show(event)
    told = [line for line in screen.getvalue().splitlines() if "left out" in line]
    assert told == ["2 updates left out so far", "3 updates left out so far"]


def test_processes_that_are_started_again_before_they_had_begun_are_told():
    """However long the first start took: nothing is known yet of epochs."""
    screen = io.StringIO()
    display = Display(Console(file=screen, width=120))
    for _ in range(2):
        display.show({"event": "phase", "phase": "starting", "processes": 2})
        display.last_line -= 100
    assert screen.getvalue() == "starting 2 processes\n" * 2


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path):
    screen = io.StringIO()
    Display(Console(file=screen, width=120), tmp_path / "gone" / "log.txt").show(START)
    assert screen.getvalue()
