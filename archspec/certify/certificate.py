"""What is known after a file's graph was compared with a spec's, as plain values for JSON."""

from __future__ import annotations

from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

from archspec.graph.digest import structure_digest
from archspec.graph.ir import Graph
from archspec.passes.compare import COMPARED, NOT_COMPARED, Comparison


def certificate(file: Path, graph: Graph, comparison: Comparison, *remarks: str) -> dict[str, Any]:
    """Return digests of both sides, blocks with connections found and expected, differences, what was compared."""
    return {
        "file": str(file),
        "sha256": digest_of(file),
        "spec": graph.name,
        "structure_digest": structure_digest(graph),
        "equal": comparison.equal,
        "blocks": [asdict(block) for block in comparison.blocks],
        "params": comparison.params,
        "expected_params": comparison.expected_params,
        "differences": [difference.message for difference in comparison.differences],
        "notes": [*(remark for remark in remarks if remark), *comparison.notes],
        "compared": COMPARED,
        "not_compared": NOT_COMPARED,
    }


def digest_of(file: Path) -> str:
    """Return the sha256 of a file."""
    digest = sha256()
    with file.open("rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
