"""Is the network in a file the one that a spec says? Every difference, in words.

More than a dozen files, each a step of `compare.py` that is read, and tested, by itself.
"""
