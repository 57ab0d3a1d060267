"""MINDIR files, MindSpore's own, read into a graph."""
