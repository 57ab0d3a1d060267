"""What goes wrong in several processes: who failed or hangs, and what is done about it."""
