"""The network that was really built, certified:
exported by MindSpore, read back, compared with its spec's graph.

MindSpore runs in a child process, on the CPU: whoever builds or launches must take no device. A
certificate is remembered by the digest of all that it follows from, so the same network is
certified once. What is remembered is believed only where it is a whole certificate of this very
network; else it is made anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

from archspec.certify.certificate_cache import BuiltCertificate, read_certificate
from archspec.errors import Diagnostic, ModelFileError
from archspec.files import to_yaml, write_atomic
from archspec.graph.digest import digest_with_names
from archspec.graph.ir import Graph
from archspec.mindspore_versions import list_versions
from archspec.runtime import cache_folder
from archspec.signals import raise_for_signal, signals_taken_by
from archspec.spec.spec import Spec

WORKER = "archspec.certify.child_process"
SECONDS_BETWEEN_SIGNALS = 0.2
ROOT = Path(__file__).resolve().parents[2]


def certify_built(spec: Spec, graph: Graph, module: str) -> Mapping[str, Any]:
    """Return the certificate of a module's network, remembered or made now.

    Args:
        spec: what was asked for.
        graph: its verified graph.
        module: the emitted text.

    Raises:
        ModelFileError: R106, MindSpore compiled another network; R107, it could not be compiled or
            read back.
        EnvironmentFault: E008, there is no cache folder.
    """
    remembered = cache_folder() / "certificates" / f"{_cache_key(graph, module)}.json"
    held = read_certificate(remembered, graph, module)
    if held is not None and held.equal and held.is_plain:
        return held.model_dump(mode="json")
    found = _make_certificate(spec, graph, module)
    if not found.equal:
        raise ModelFileError(Diagnostic("R106", text, spec.name) for text in found.differences)
    values = found.model_dump(mode="json")
    _store_certificate(remembered, values)
    return values


def summarize_certificate(certificate: Mapping[str, Any]) -> str:
    """Return a certificate in one line."""
    found = sum(block["edges"] for block in certificate["blocks"])
    expected = sum(block["expected_edges"] for block in certificate["blocks"])
    return (
        f"certified: {found:,} of {expected:,} direct connections and "
        f"{certificate['params']:,} parameters, "
        "read back from what MindSpore compiled"
    )


def _cache_key(graph: Graph, module: str) -> str:
    # All that a certificate follows from: another version of either may compile otherwise.
    parts = (module, digest_with_names(graph), *list_versions().values())
    return sha256("\n".join(parts).encode()).hexdigest()


def _store_certificate(file: Path, certificate: Mapping[str, Any]) -> None:
    """Keep a certificate; where there is no place for it, the next time makes it again."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, json.dumps(certificate, indent=2) + "\n")
    except OSError:
        return


def _wait_for(child: subprocess.Popen[str]) -> str:
    """Return what a child said when it has ended. Whoever is interrupted meanwhile ends it."""
    # A signal that another thread passes on interrupts no waiting: see `watch_interrupts`.
    with child:
        try:
            while True:
                with suppress(subprocess.TimeoutExpired):
                    return child.communicate(timeout=SECONDS_BETWEEN_SIGNALS)[1]
        except BaseException:
            child.kill()
            raise


def _make_certificate(spec: Spec, graph: Graph, module: str) -> BuiltCertificate:
    # A process that ended at once would leave the folder behind, and a child that compiles on.
    with (
        signals_taken_by(raise_for_signal),
        tempfile.TemporaryDirectory(prefix="certify-") as name,
    ):
        folder = Path(name)
        (folder / "spec.yaml").write_text(to_yaml(spec.resolved()), "utf-8")
        (folder / "network.py").write_text(module, "utf-8")
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
        child = subprocess.Popen(
            [sys.executable, "-m", WORKER, name, str(os.getpid())],
            cwd=name,  # MindSpore leaves files of a compilation that fails where it runs
            # Safe path: a file that lies there must not stand for a module of Python's.
            env={**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1", "TMPDIR": name},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        said = _wait_for(child)
        found = read_certificate(folder / "certificate.json", graph, module)
    if found is None:
        lines = [line for line in said.splitlines() if line.strip()] or [
            f"exit code {child.returncode}"
        ]
        message = f"could not be compiled and read back: {lines[-1].strip()[:300]}"
        raise ModelFileError.one(
            "R107", message, spec.name, "--no-certify goes on without a certificate"
        )
    return found
