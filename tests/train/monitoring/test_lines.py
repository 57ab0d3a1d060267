"""What is shown of a run in words: it fits 80 columns, and epochs stand below each other."""

import math
from itertools import product

import pytest

from archspec.train.monitoring.lines import (
    describe_epoch,
    describe_phase,
    describe_start,
    describe_step,
    fit,
    format_loss,
    format_seconds,
    format_share,
)

EPOCH = {
    "event": "epoch",
    "epoch": 3,
    "loss": 1.37386,
    "accuracy": 0.73672,
    "val_loss": 1.11384,
    "val_top1": 0.75524,
    "val_top5": 0.99,
    "val_images": 143,
    "seconds": 754.2,
    "is_best": True,
}
EMA = {"ema_loss": 1.0, "ema_top1": 0.7601, "ema_top5": 0.9, "ema_images": 143}


def test_an_epochs_line_has_what_tells_epochs_apart():
    assert describe_epoch(EPOCH | EMA, 200) == (
        "epoch   3/200  loss 1.3739  acc 73.67%  val 1.1138  75.52%  ema 76.01%  12m34s *"
    )
    bare = {key: EPOCH[key] for key in ("epoch", "loss", "accuracy", "seconds")}
    assert describe_epoch(bare, 9) == "epoch 3/9  loss 1.3739  acc 73.67%  12m34s"


LOSSES = (0.00004, 9.99996, 12.5, 2e4, 3e7, math.nan, math.inf)


@pytest.mark.parametrize(("loss", "share"), [*product(LOSSES, (0.0, 0.05, 0.5, 1.0))])
def test_epochs_stand_below_each_other_within_80_columns(loss, share):
    """Whatever the figures are: the columns begin where they began, the last word too."""
    usual = describe_epoch(EPOCH | EMA, 200)
    figures = {"loss": loss, "accuracy": share, "val_loss": loss, "val_top1": share}
    line = describe_epoch(EPOCH | EMA | figures | {"seconds": 0.31, "ema_top1": share}, 200)
    shift = abs(loss - 9.99996) < 1e-9  # rounds to one digit more than it has
    assert shift or [line.index(word) for word in ("loss", "acc", "val", "ema")] == [
        usual.index(word) for word in ("loss", "acc", "val", "ema")
    ]
    assert len(line) <= 80 + 2 * shift


@pytest.mark.parametrize("epochs", [1, 10, 999, 1_000, 100_000])
def test_a_line_is_at_most_80_columns_long_for_any_number_of_epochs(epochs):
    line = describe_epoch(EPOCH | EMA | {"epoch": epochs}, epochs)
    assert len(line) <= 80
    assert line.endswith(" *")
    assert "val 1.1138  75.52%" in line


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1m00s"),
        (3_599.6, "1h00m"),
        (86_399, "23h59m"),
        (86_400, "1d00h"),
        (700_000, "8d02h"),
    ],
)
def test_times_are_short(seconds, text):
    assert format_seconds(seconds) == text


def test_figures_have_one_width():
    """Six characters, but for what rounds up into one digit more."""
    losses = [0.0, 1.0, 99.9, 12_345.6, 1e9, math.nan, -math.inf, -1.5]
    assert [len(format_loss(loss)) for loss in losses] == [6, 6, 6, 6, 6, 6, 6, 7]
    assert [format_share(share) for share in (0, 0.5, 0.99999, 1)] == [
        " 0.00%",
        "50.00%",
        "100.0%",
        "100.0%",
    ]


def test_phases_are_told_with_their_time_and_the_last_time():
    compiling = {"event": "phase", "phase": "compiling"}
    assert describe_phase(compiling, 3.4) == "compiling the network, 3 s"
    known = compiling | {"last_seconds": 21.4}
    assert describe_phase(known, 3.4) == "compiling the network, 3 s (last time 21 s)"
    assert describe_phase(known) == "compiling the network (last time 21 s)"
    kept = known | {"is_kept": True, "last_seconds": 5.0}
    assert describe_phase(kept) == "preparing the compiled network (last time 5 s)"
    assert describe_phase({"phase": "starting", "processes": 2}, 7.2) == (
        "starting 2 processes, 7 s"
    )
    validating = {"phase": "validating", "images": 200, "done": 90}
    assert describe_phase(validating, 1) == "validating 45%, 1 s"
    assert describe_phase({"phase": "training", "compile_seconds": 3.0}, 1) == ""


def test_a_start_says_images_length_and_what_is_done():
    event = {
        "train_images": 1_281_167,
        "val_images": 50_000,
        "global_batch": 256,
        "epochs": 120,
        "steps": 5_004,
        "epochs_done": 7,
        "steps_done": 1,
    }
    assert describe_start(event) == [
        "1,281,167 images to train on, 50,000 to choose by; global batch 256",
        "120 epochs of 5,004 steps, 7 epochs and 1 step done",
    ]
    over = describe_start(event | {"epochs_done": 120, "steps_done": 0})
    assert over[1] == "120 epochs of 5,004 steps, 120 epochs done; nothing is left to train"


def test_what_does_not_fit_is_left_out_from_the_end():
    step = {"loss": 2.0521, "accuracy": 0.302, "images_per_second": 2352.2, "learning_rate": 0.0772}
    parts = describe_step(step)
    assert fit(parts, 80) == "loss 2.052  acc 30.2%  2352 images/s  lr 0.0772"
    assert fit(parts, 40) == "loss 2.052  acc 30.2%  2352 images/s"
    assert fit(parts, 3) == "loss 2.052"
    del step["images_per_second"]
    assert fit(describe_step(step), 80) == "loss 2.052  acc 30.2%  lr 0.0772"


@pytest.mark.parametrize("loss", [9.99996, 99.9996, 9_999.96, 99_999.4, 99_999.99, 1e5, 1e300])
def test_a_loss_at_the_edge_of_its_digits_is_a_number_still(loss):
    """Rounded, it may have a digit more; whatever it is, a run goes on."""
    assert float(format_loss(loss)) == pytest.approx(loss, rel=0.5)


@pytest.mark.parametrize("epochs", [9, 100, 100_000])
@pytest.mark.parametrize("main", ["mean_ap", "miou"])
def test_the_time_of_an_epoch_stays_whatever_else_has_no_room(main, epochs):
    """Figures of several labels, and of pixels, have longer names."""
    kinds = {
        "mean_ap": {"mean_ap": 0.5, "mean_auc": 0.5, "f1": 0.5, "images": 9},
        "miou": {"miou": 0.5, "pixel_accuracy": 0.5, "images": 9},
    }
    figures = {"loss": 1.0, **kinds[main]}
    of_training = {key: EPOCH[key] for key in ("event", "epoch", "loss", "accuracy", "is_best")}
    judged = {f"{part}_{key}": value for part in ("val", "ema") for key, value in figures.items()}
    line = describe_epoch({**of_training, **judged, "seconds": 754.2}, epochs)
    assert line.endswith("  12m34s *")
    assert {"mean_ap": "mAP 50.00%", "miou": "mIoU 50.00%"}[main] in line
    assert len(line) <= 80
