"""Recipes, data, the training step and loop, evaluation, checkpoints, launching."""
