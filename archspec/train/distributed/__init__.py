"""Training in several processes, under msrun."""
