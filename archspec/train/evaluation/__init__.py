"""How good outputs are, by their targets: figures, of classes, labels and pixels, and in words."""
