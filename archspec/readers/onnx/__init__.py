"""ONNX files, read into a graph.

More than a dozen files: exporters write one operator in many ways, and each kind of way has its
own, so that a new one is added where the like are.
"""
