"""One image: read from its file, fitted to the network, changed at random."""
