"""A trained network as a file that others run: written, certified, run, and only then there."""
