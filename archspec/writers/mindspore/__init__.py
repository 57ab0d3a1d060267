"""A graph as a Python module of MindSpore cells, and as the MINDIR that MindSpore makes of it."""
