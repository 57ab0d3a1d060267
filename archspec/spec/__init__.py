"""The spec language: reading YAML, checking it, finding shipped specs."""
