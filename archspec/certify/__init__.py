"""Certificates: that a model file, or the network that was just built, is what its spec says."""
