"""In which order a network joins feature maps, which no shape tells."""
