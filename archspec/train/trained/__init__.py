"""A trained network: its weights, what runs it, and what it says of each image."""
