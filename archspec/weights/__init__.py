"""Weights from elsewhere and back: kinds of files, namings, and what fits which network."""
