"""What this machine has, and whether it is enough to train."""
