"""The IR: operators, regions, connectivity, digests, and the builder from a spec."""
