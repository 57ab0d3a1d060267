"""A network in evaluation, written with less: passes over a graph and its tensors."""
