"""What tests look for in a run directory, and among the processes that work in it."""

import json
import shlex
from pathlib import Path

import psutil

from archspec.runtime import prepare

TAKES_TIME = (
    "time",
    "seconds",
    "images_per_second",
    "loader_images_per_second",
    "loader_busy",
)


def events(run: Path, kind: str = "epoch") -> list[dict]:
    """The events of a kind, without what depends on the clock."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [
        {key: value for key, value in line.items() if key not in TAKES_TIME}
        for line in lines
        if line["event"] == kind
    ]


def parameters(run: Path, name: str) -> dict[str, bytes]:
    """A checkpoint's tensors as bytes, but for the time that the run took."""
    prepare()
    import mindspore as ms

    held = ms.load_checkpoint(str(run / "checkpoints" / f"{name}.ckpt"))
    names = held.keys() - {"archspec.seconds"}
    return {key: held[key].asnumpy().tobytes() for key in names}


def left_running(run: Path) -> list[str]:
    """Processes that work in a run directory; their command line names it."""
    found = psutil.process_iter(["cmdline", "status"])
    lines = [
        shlex.join(p.info["cmdline"] or [])
        for p in found
        if p.info["status"] != psutil.STATUS_ZOMBIE
    ]
    return [line for line in lines if str(run.resolve()) in line]


def finished_epochs(run: Path) -> int:
    return len(events(run)) if (run / "metrics.jsonl").is_file() else 0


def assert_one_sound_run(run: Path, ranks: int, epochs: int) -> None:
    """Equal weights on all ranks, each epoch reported once, no process left."""
    ends = [
        (run / f"workers/worker_{rank}.log").read_text().split("ends with weights ")
        for rank in range(ranks)
    ]
    assert len({text[1].split()[0] for text in ends}) == 1
    assert [event["epoch"] for event in events(run)] == list(range(1, epochs + 1))
    assert len(events(run, "end")) == 1
    assert left_running(run) == []
