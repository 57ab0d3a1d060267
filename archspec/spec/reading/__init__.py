"""From YAML text to checked values that know where they were written."""
