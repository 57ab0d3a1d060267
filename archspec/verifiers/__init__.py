"""Proofs over a graph: every verifier returns all faults that it finds."""
