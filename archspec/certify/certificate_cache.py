"""A built network's certificate as a file holds it, and what it must say to be believed.

The cache folder and the child process are no authorities: anyone may write there.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from archspec.compare.compare import COMPARED, MAX_LINES, NOT_COMPARED
from archspec.graph.digest import structure_digest
from archspec.graph.ir import Graph
from archspec.graph.report import report

MAX_BYTES = 16 * 1024 * 1024
"""Of a certificate's file; that of densenet264 has 2 KiB."""

Count = Annotated[int, Field(ge=0)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Field(max_length=10_000)]
Lines = Annotated[tuple[Text, ...], Field(max_length=MAX_LINES + 1)]
Edge = tuple[Count, Count]


class _StoredModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class CertifiedBlock(_StoredModel):
    """A dense block's layers and direct connections, as read back and as the spec has them."""

    block: Text
    layers: Count
    expected_layers: Count
    edges: Count
    expected_edges: Count
    missing: tuple[Edge, ...]
    surplus: tuple[Edge, ...]


class BuiltCertificate(_StoredModel):
    """What `archspec.certify.child_process` finds out; `make_certificate` says what each means."""

    file: Text
    sha256: Digest
    spec: Text
    structure_digest: Digest
    equal: bool
    blocks: Annotated[tuple[CertifiedBlock, ...], Field(max_length=64)]
    params: Count
    expected_params: Count
    differences: Lines
    notes: Lines
    compared: Lines
    not_compared: Lines

    @property
    def is_plain(self) -> bool:
        """Whether its words are this program's own:
        what was compared and what not, and no notes.
        """
        words = (self.compared, self.not_compared, self.notes)
        return self.file == "network.py" and words == (COMPARED, NOT_COMPARED, ())

    def is_of(self, graph: Graph, module: str) -> bool:
        """Is it about this module's text and this graph, and do its figures agree?"""
        counts = report(graph)
        blocks = [(block.name, block.layers, block.edges) for block in counts.blocks]
        expected = [(b.block, b.expected_layers, b.expected_edges) for b in self.blocks]
        found = [(b.block, b.layers, b.edges) for b in self.blocks]
        is_about = (self.sha256, self.structure_digest, self.spec, self.expected_params) == (
            sha256(module.encode()).hexdigest(),
            structure_digest(graph),
            graph.name,
            counts.params,
        )
        if not is_about or expected != blocks or self.equal != (not self.differences):
            return False
        is_whole = not any(block.missing or block.surplus for block in self.blocks)
        return not self.equal or (found == blocks and self.params == counts.params and is_whole)


def read_certificate(file: Path, graph: Graph, module: str) -> BuiltCertificate | None:
    """Return the certificate in a file, None where it is not of this module and this graph."""
    try:
        if not file.is_file():
            return None
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
        held = BuiltCertificate.model_validate_json(raw) if len(raw) <= MAX_BYTES else None
    except (OSError, ValidationError):
        return None
    return held if held is not None and held.is_of(graph, module) else None
