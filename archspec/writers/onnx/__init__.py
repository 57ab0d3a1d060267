"""A graph and its weights as ONNX."""
