"""Model files of frameworks, read into a graph."""
