"""What is shown of a run, in words that fit a terminal of 80 columns; metrics.jsonl has all."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from archspec.errors import format_count
from archspec.train.evaluation.measures import Figures, read_figures, share_of
from archspec.train.monitoring.progress import Event

WIDTH = 80
GAP = "  "
USUAL = "top1"
"""The figure of a validation that needs no name."""


def describe_start(event: Event) -> list[str]:
    """Return the lines of how a run begins, or goes on."""
    images = f"{format_count(event['train_images'], 'image')} to train on"
    batch = f"{event['val_images']:,} to choose by; global batch {event['global_batch']}"
    length = f"{format_count(event['epochs'], 'epoch')} of {format_count(event['steps'], 'step')}"
    over = ""
    if event["epochs_done"] >= event["epochs"]:
        over = "; nothing is left to train"
    done = _describe_done(event["epochs_done"], event["steps_done"])
    return [f"{images}, {batch}", f"{length}{done}{over}"]


def _describe_done(epochs: int, steps: int) -> str:
    done = [format_count(epochs, "epoch")] if epochs else []
    done += [format_count(steps, "step")] if steps else []
    return f", {' and '.join(done)} done" if done else ""


def describe_epoch(event: Event, epochs: int) -> str:
    """Return an epoch's line, whose columns stand below those of the epoch before; `*` is the best
    so far.

    Left out are the first five guesses, the averaged weights' loss and the speed.
    """
    number = f"epoch {event['epoch']:>{len(str(epochs))}}/{epochs}"
    parts = [f"{number}  loss {format_loss(event['loss'])}"]
    parts.append(f"acc {format_share(event['accuracy'])}")
    parts += _describe_judged(read_figures(event, "val_"))
    averaged = read_figures(event, "ema_")
    if averaged is not None:
        parts.append(f"ema {format_share(share_of(averaged))}")
    took = format_seconds(event["seconds"])
    star = " *" if event.get("is_best") else ""
    ending = f"{GAP}{took:>6}{star}"
    return fit(parts, WIDTH - len(ending)) + ending


def _describe_judged(judged: Figures | None) -> Iterator[str]:
    if judged is None:
        return
    yield f"val {format_loss(judged.loss)}"
    share = format_share(share_of(judged))
    yield share if judged.main == USUAL else f"{judged.main_name} {share}"


def describe_step(event: Event) -> list[str]:
    """Return the figures of the steps since the last look, what matters most first."""
    parts = [f"loss {event['loss']:.3f}", f"acc {event['accuracy']:.1%}"]
    if "images_per_second" in event:
        parts.append(f"{event['images_per_second']:.0f} images/s")
    return [*parts, f"lr {event['learning_rate']:.3g}"]


def describe_phase(event: Event, seconds: float | None = None) -> str:
    """Return what a process does that trains nothing, '' where it trains, after so many seconds of
    it.
    """
    elapsed = "" if seconds is None else f", {seconds:.0f} s"
    if event["phase"] == "starting":
        return f"starting {event['processes']} processes{elapsed}"
    if event["phase"] == "compiling":
        last = event.get("last_seconds")
        known = "" if last is None else f" (last time {max(last, 1):.0f} s)"
        doing = "preparing the compiled" if event.get("is_kept") else "compiling the"
        return f"{doing} network{elapsed}{known}"
    if event["phase"] == "validating":
        share = event["done"] / max(event["images"], 1)
        return f"validating {share:.0%}{elapsed}"
    return f"ending{elapsed}" if event["phase"] == "ending" else ""


def fit(parts: Sequence[str], width: int) -> str:
    """Return as many of the parts as fit in a line, from the first on, but that one whole."""
    kept = list(parts)
    while len(kept) > 1 and len(GAP.join(kept)) > width:
        kept.pop()
    return GAP.join(kept)


def format_loss(loss: float) -> str:
    """Return six characters, such as `2.1573` or `1e+05`."""
    if not math.isfinite(loss) or abs(loss) >= 1e5:
        return f"{loss:6.0e}"
    digits = len(f"{abs(loss):.0f}")
    return f"{loss:6.{max(5 - digits, 0)}f}"


def format_share(share: float) -> str:
    """Return a percentage of six characters."""
    text = f"{share:.2%}"
    return f"{text:>6}" if len(text) <= len("99.99%") else f"{share:.1%}"


def format_seconds(seconds: float) -> str:
    """Return `3.5 s`, `59 s`, `12m34s`, `1h02m` or `2d03h`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3_600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3_600}h{whole % 3_600 // 60:02d}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3_600:02d}h"
