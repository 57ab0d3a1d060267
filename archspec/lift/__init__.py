"""From a model file's graph back to the spec that says it.

More than a dozen files, one for each thing that a spec says: blocks, layers, transitions, rules.
"""
