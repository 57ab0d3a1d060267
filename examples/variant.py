"""Define a variant in Python, look at it, and compare it with its parent:
python examples/variant.py.
"""

from archspec import build_graph, load_spec, report, verify

parent = report(build_graph(load_spec("densenet121")))
graph = build_graph(load_spec("densenet121", {"growth_rate": 24, "compression": 0.7}))
assert verify(graph) == ()
variant = report(graph)
print(f"{variant.edges} direct connections, as many as the parent's {parent.edges}")
print(
    f"{variant.params / parent.params:.2f} x the parameters, "
    f"{variant.macs / parent.macs:.2f} x the MACs"
)
