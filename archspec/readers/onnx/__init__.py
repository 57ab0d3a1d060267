"""ONNX files, read into a graph."""
