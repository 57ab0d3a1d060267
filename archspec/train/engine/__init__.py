"""What moves weights: loss, gradients, updates, and the networks that judge them."""
