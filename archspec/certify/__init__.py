"""Certificates: that a model file, or the network that was just built, is what its spec says.

More than a dozen files: two ways in, `certify_file.py` and `built_network.py`, and one for each
thing that is looked at behind the comparison: live weights, reach, rounding, parts that are run.
"""
