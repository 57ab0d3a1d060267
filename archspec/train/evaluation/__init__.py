"""How good a network is, and what a trained one says of images."""
