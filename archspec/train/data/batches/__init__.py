"""Batches: which samples, in which order, filled by whom."""
