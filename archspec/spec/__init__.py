"""The spec language: what a spec may say, in a file for each part of a network.

More than a dozen files, since a reader looks for `stem.py` where a stem is meant; how YAML becomes
checked values is a room of its own, `reading`.
"""
