"""A join whose operands may not change places, of which there is none: its row is added here, in a
process of its own.
"""

import subprocess
import sys

ADDED = """
import sys
from dataclasses import replace
from archspec.operators import joins

(product,) = (row for row in joins.ROWS if row.kind == "multiply")
difference = replace(
    product, kind="difference", commutes=False, is_product=False, verb="subtracts"
)
joins.ROWS += (difference,)

from archspec import build_graph
from archspec.compare.compare import compare
from archspec.graph.ir import Graph
from archspec.lift.lift import lift
from archspec.spec.load import validate
from archspec.spec.reading.shorthand import expand_short_forms
from archspec.spec.reading.yaml_reader import read_text
from archspec.spec.spec import Spec

def build(*kernels):
    branches = [f"[conv: {{kernel: {kernel}}}, activation: sigmoid]" for kernel in kernels]
    text = (
        "input: {height: 32, width: 32}\\ngrowth_rate: 4\\nblock_config: [2, 2]\\n"
        f"transition:\\n- branches: {{join: difference, of: [{', '.join(branches)}]}}\\n"
    )
    return build_graph(validate(Spec, expand_short_forms(read_text(text, "spec.yaml"))))

def as_a_file(graph):
    ops = [replace(op, region="") for op in graph.ops.values() if op.kind != "dropout"]
    return Graph.of("file", ops)

one, other = build(1, 3), build(3, 1)
assert compare(one, as_a_file(one)).is_equal
(line,) = compare(other, as_a_file(one)).differences
print(line.message)
print(lift(as_a_file(one), "lifted", "model.onnx").text)
"""


def test_its_operands_in_another_order_are_another_network_and_it_is_lifted() -> None:
    """No weights could be permuted so that it were the same."""
    done = subprocess.run(
        [sys.executable, "-c", ADDED], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    line, *lifted = done.stdout.splitlines()
    assert line == "transition 1 joins its sources in another order, on which it depends"
    assert [words.strip(" -") for words in lifted if "kernel" in words] == [
        "conv: {kernel: 1}",
        "conv: {kernel: 3}",
    ]
    assert "    join: difference" in lifted
