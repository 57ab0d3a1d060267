"""Is the network in a file the one that a spec says? Every difference, in words."""
