"""Figures and reports from outputs and targets, of classes, labels and pixels; runs no network."""
