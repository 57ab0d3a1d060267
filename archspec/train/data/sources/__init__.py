"""Labelled images, their parts and classes, wherever they lie."""
