"""One trained network as an object, what runs it, and the loop that runs it over images."""
