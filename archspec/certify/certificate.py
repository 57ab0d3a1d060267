"""What is known after a file's graph was compared with a spec's, as plain values for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from archspec.certify.liveness import Liveness
from archspec.certify.probe import Probe
from archspec.certify.rounding import Rounding
from archspec.compare.compare import Comparison
from archspec.errors import Diagnostic
from archspec.files import sha256_of
from archspec.graph.digest import structure_digest
from archspec.graph.ir import Graph

WEIGHTS_LOOKED_AT = "weights and scales that are all zero, so that a connection carries nothing"
WEIGHTS_NOT_COMPARED = "values of the weights but for zeros"


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is known of a model file beside a spec's graph."""

    file: Path
    sha256: str
    """Of the file."""
    spec: str
    """The spec's name."""
    structure_digest: str
    """Of the spec's graph, whatever things are called."""
    comparison: Comparison
    liveness: Liveness | None = None
    """What its weights say; None: nobody looked."""
    rounding: Rounding | None = None
    """What becomes of it in whole numbers; None: it has none, or nobody looked."""
    probe: Probe | None = None
    """What ONNX Runtime says; None: nobody asked."""
    remarks: tuple[str, ...] = ()
    spec_file: Path | None = None
    spec_sha256: str = ""

    @property
    def _seen(self) -> tuple[Comparison | Liveness | Rounding | Probe, ...]:
        given = (self.comparison, self.liveness, self.rounding, self.probe)
        return tuple(each for each in given if each is not None)

    @property
    def is_equal(self) -> bool:
        """The file is the spec's network."""
        return not self.differences

    @property
    def differences(self) -> tuple[Diagnostic, ...]:
        """What is not as the spec says, each with its code."""
        return tuple(difference for each in self._seen for difference in each.differences)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know that is no difference."""
        return (*self.remarks, *(note for each in self._seen for note in each.notes))

    def values(self) -> dict[str, Any]:
        """Return digests of both sides, blocks with connections found and expected,
        differences, what was compared.
        """
        differences = [difference.message for difference in self.differences]
        of_spec = {"spec_file": str(self.spec_file), "spec_sha256": self.spec_sha256}
        return {
            "file": str(self.file),
            "sha256": self.sha256,
            "spec": self.spec,
            **(of_spec if self.spec_file else {}),
            "structure_digest": self.structure_digest,
            "equal": self.is_equal,
            "blocks": [asdict(block) for block in self.comparison.blocks],
            "params": self.comparison.params,
            "expected_params": self.comparison.expected_params,
            "differences": differences,
            "notes": [*self.notes],
            "compared": self.comparison.compared,
            "not_compared": self.comparison.not_compared,
            **(_describe_liveness(self.liveness, self.comparison) if self.liveness else {}),
            **(_describe_probe(self.probe) if self.probe else {}),
        }


def make_certificate(
    file: Path,
    graph: Graph,
    comparison: Comparison,
    *remarks: str,
    spec_file: Path | None = None,
    liveness: Liveness | None = None,
    rounding: Rounding | None = None,
    probe: Probe | None = None,
) -> Certificate:
    """Return the certificate of a file that was compared with a spec's graph;
    empty remarks are none.
    """
    return Certificate(
        file,
        sha256_of(file),
        graph.name,
        structure_digest(graph),
        comparison,
        liveness,
        rounding,
        probe,
        tuple(filter(None, remarks)),
        spec_file,
        sha256_of(spec_file) if spec_file else "",
    )


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
