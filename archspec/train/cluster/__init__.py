"""Files by which a cluster's own scheduler runs `densenet train`."""
