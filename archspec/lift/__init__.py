"""From a model file's graph back to the spec that says it."""
