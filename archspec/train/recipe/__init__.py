"""The recipe: how a network is initialised, fed and optimised."""
