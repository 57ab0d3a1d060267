"""A graph drawn: SVG, PNG, DOT and HTML."""
