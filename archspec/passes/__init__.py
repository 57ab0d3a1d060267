"""Verifiers and analyses over a graph, one file each."""
