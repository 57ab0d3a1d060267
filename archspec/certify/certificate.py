"""What is known after a file's graph was compared with a spec's, as plain values for JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from archspec.certify.float_weights import FloatWeights
from archspec.certify.liveness import Liveness
from archspec.certify.probe import Probe
from archspec.certify.rounding import Rounding
from archspec.compare.compare import Comparison
from archspec.errors import Diagnostic
from archspec.files import sha256_of
from archspec.graph.digest import structure_digest
from archspec.graph.ir import Graph

WEIGHTS_LOOKED_AT = "weights and scales that are all zero, so that a connection carries nothing"
WHOLE_NUMBERS_NOT_COMPARED = (
    "of whole numbers it was looked whether filters are one number each or at the ends of their "
    "range, not whether they are near the float weights: --ckpt compares them with these"
)
WEIGHTS_COMPARED = (
    "filters and biases of convolutions and dense layers, scales and shifts of norms with the "
    "given weights"
)
OTHERS_NOT_COMPARED = "values of all other weights but for zeros"
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
    given: FloatWeights | None = None
    """How its filters are beside given weights; None: none were given."""
    probe: Probe | None = None
    """What ONNX Runtime says; None: nobody asked."""
    remarks: tuple[str, ...] = ()
    spec_file: Path | None = None
    spec_sha256: str = ""

    @property
    def _seen(self) -> tuple[Comparison | Liveness | Rounding | FloatWeights | Probe, ...]:
        asked = (self.comparison, self.liveness, self.rounding, self.given, self.probe)
        return tuple(each for each in asked if each is not None)

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
        is_unasked = self.rounding is not None and self.given is None and self.is_equal
        unasked = (WHOLE_NUMBERS_NOT_COMPARED,) if is_unasked else ()
        return (*self.remarks, *(note for each in self._seen for note in each.notes), *unasked)

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
            **self._describe_weights(),
            **(_describe_probe(self.probe) if self.probe else {}),
        }

    def _describe_weights(self) -> dict[str, Any]:
        if self.liveness is None:
            return {}
        return _describe_liveness(self.liveness, self.comparison, self.given)


def make_certificate(
    file: Path,
    graph: Graph,
    comparison: Comparison,
    *remarks: str,
    spec_file: Path | None = None,
    liveness: Liveness | None = None,
    rounding: Rounding | None = None,
    given: FloatWeights | None = None,
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
        given,
        probe,
        tuple(filter(None, remarks)),
        spec_file,
        sha256_of(spec_file) if spec_file else "",
    )


def _name_rest(given: FloatWeights | None) -> str:
    return WEIGHTS_NOT_COMPARED if given is None or not given.compared else OTHERS_NOT_COMPARED


def _describe_liveness(
    liveness: Liveness, comparison: Comparison, given: FloatWeights | None
) -> dict[str, Any]:
    """What the weights say."""
    told = (WEIGHTS_COMPARED,) if given is not None and given.compared else ()
    return {
        "compared": (*comparison.compared, WEIGHTS_LOOKED_AT, *told),
        # The first of them says that no weights were looked at.
        "not_compared": (_name_rest(given), *comparison.not_compared[1:]),
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
