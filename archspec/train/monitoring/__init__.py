"""Looking at a run: before it begins, while it goes on, afterwards."""
