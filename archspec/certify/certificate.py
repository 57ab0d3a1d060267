"""What is known after a file's graph was compared with a spec's, as plain values for JSON."""

from __future__ import annotations

from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from archspec.certify.liveness import Liveness
from archspec.certify.probe import Probe
from archspec.compare.compare import Comparison
from archspec.graph.digest import structure_digest
from archspec.graph.ir import Graph

WEIGHTS_LOOKED_AT = "weights and scales that are all zero, so that a connection carries nothing"
WEIGHTS_NOT_COMPARED = "values of the weights but for zeros"


def make_certificate(
    file: Path,
    graph: Graph,
    comparison: Comparison,
    *remarks: str,
    spec_file: Path | None = None,
    liveness: Liveness | None = None,
    probe: Probe | None = None,
) -> dict[str, Any]:
    """Return digests of both sides, blocks with connections found and expected,
    differences, what was compared.

    Without `liveness` nobody looked at the weights, and without `probe` nobody ran the layers; that
    is said.
    """
    differences, notes = list[str](), [remark for remark in remarks if remark]
    for each in (comparison, liveness, probe):
        if each is not None:
            differences.extend(difference.message for difference in each.differences)
            notes.extend(each.notes)
    spec_digest = {}
    if spec_file is not None:
        spec_digest = {"spec_file": str(spec_file), "spec_sha256": sha256_of(spec_file)}
    return {
        "file": str(file),
        "sha256": sha256_of(file),
        "spec": graph.name,
        **spec_digest,
        "structure_digest": structure_digest(graph),
        "equal": not differences,
        "blocks": [asdict(block) for block in comparison.blocks],
        "params": comparison.params,
        "expected_params": comparison.expected_params,
        "differences": differences,
        "notes": notes,
        "compared": comparison.compared,
        "not_compared": comparison.not_compared,
        **(_describe_liveness(liveness, comparison) if liveness else {}),
        **(_describe_probe(probe) if probe else {}),
    }


def _describe_liveness(liveness: Liveness, comparison: Comparison) -> dict[str, Any]:
    """What the weights say."""
    return {
        "compared": (*comparison.compared, WEIGHTS_LOOKED_AT),
        # The first of them says that no weights were looked at.
        "not_compared": (WEIGHTS_NOT_COMPARED, *comparison.not_compared[1:]),
        "connections": liveness.connections,
        "dead": [asdict(dead) for dead in liveness.dead_connections],
        "not_looked_at": liveness.unreadable,
    }


def _describe_probe(probe: Probe) -> dict[str, Any]:
    """What ONNX Runtime says."""
    return {
        "probe": {
            "connections": probe.connections,
            "confirmed": probe.confirmed,
            "not_run": probe.not_run,
        }
    }


def sha256_of(file: Path) -> str:
    """Return the sha256 of a file."""
    digest = sha256()
    with file.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
