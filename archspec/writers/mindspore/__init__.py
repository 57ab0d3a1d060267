"""A graph as a Python module of MindSpore cells, and as the MINDIR that MindSpore makes of it.

More than a dozen files: each part of a module's text is written in its own.
"""
