"""Python and MindSpore, processors, memory, room, files, and how convolutions are computed."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from archspec.machine.finding import Finding
from archspec.mindspore_versions import (
    describe_range,
    find_mindspore,
    find_version,
    find_wanted,
    is_tested,
)

GIGABYTE = 1024**3
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108
LEAST_SHARED = GIGABYTE
"""Docker gives 64 MB where nobody says more; a process that finds no room there ends by SIGBUS."""
LEAST_FILES = 4096
"""Each worker opens images, sockets, libraries and logs; 1024 is what many shells begin with."""
LEAST_MEMORY = 4 * GIGABYTE
"""densenet121 at 224 pixels and batch 8 trains in 2.8 GB on a CPU."""
OPTIONAL = {
    "onnxruntime": "export -o FILE.onnx, --engine, certify --probe, convert --like",
    "opencv-python-headless": "data.image_backend: opencv",
    "openvino": "validate and predict --engine openvino",
    "tensorboardX": "tensorboard: true",
}
"""Packages that some of the commands use, by what for."""


def examine_packages() -> Iterator[Finding]:
    """Yield Python, MindSpore, and what is not needed by all."""
    yield Finding("Python", "ok", f"{platform.python_version()} ({sys.executable})")
    yield _examine_mindspore()
    for name, use in OPTIONAL.items():
        yield Finding(name, "note", find_version(name) or f"not installed ({use})")


def _examine_mindspore() -> Finding:
    found, wanted = find_mindspore(), find_wanted()
    if not found:
        return Finding("MindSpore", "fault", "not installed", f"pip install 'mindspore{wanted}'")
    if not wanted:
        return Finding("MindSpore", "ok", found)
    if is_tested(found):
        return Finding("MindSpore", "ok", f"{found}: inside the tested range {describe_range()}")
    cure = f"outside the tested range {describe_range()} (pip install 'mindspore{wanted}')"
    return Finding("MindSpore", "warning", found, cure)


def examine_resources(folder: Path) -> Iterator[Finding]:
    """Yield processors, memory, shared memory, file limit, and room where runs are written."""
    yield Finding("processors", "ok", f"{count_cores()}")
    memory = psutil.virtual_memory()
    shown = f"{memory.available / GIGABYTE:.1f} of {memory.total / GIGABYTE:.1f} GB are free"
    is_little = memory.available < LEAST_MEMORY
    cure = "smaller batches (-b) or images (--image-size)" if is_little else ""
    yield Finding("memory", "warning" if is_little else "ok", shown, cure)
    if SHARED_MEMORY.is_dir():
        size = shutil.disk_usage(SHARED_MEMORY).total
        is_little = size < LEAST_SHARED
        cure = "docker run --shm-size=8g, or mount it larger" if is_little else ""
        shown = f"{size / GIGABYTE:.2f} GB"
        yield Finding("shared memory", "warning" if is_little else "ok", shown, cure)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    is_little = 0 <= files < LEAST_FILES
    cure = f"ulimit -n {LEAST_FILES * 16}" if is_little else ""
    yield Finding("open files", "warning" if is_little else "ok", f"{files:,} at once", cure)
    free = shutil.disk_usage(folder).free
    is_little = free < GIGABYTE
    cure = "a run of densenet121 keeps 0.3 GB of checkpoints" if is_little else ""
    shown = f"{free / GIGABYTE:.1f} GB free in {folder.resolve()}"
    yield Finding("disk", "warning" if is_little else "ok", shown, cure)


def count_cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def examine_convolutions() -> Finding:
    """Return by which kernels a CPU computes convolutions; MindSpore's own choice is 20 to 80 times
    slower for 3x3 ones where the processor has AVX-512.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return Finding("convolutions", "ok", f"{platform.machine()}: MindSpore's own choice")
    chosen = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA")
    if chosen is None or chosen == "AVX2":
        return Finding("convolutions", "ok", "AVX2, which every command sets")
    cure = "unset it: 3x3 convolutions may be 20 to 80 times slower"
    return Finding("convolutions", "warning", f"ONEDNN_MAX_CPU_ISA={chosen}", cure)
