"""Files of weights, read and written without running what they hold."""
