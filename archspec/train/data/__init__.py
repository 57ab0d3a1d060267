"""What a run learns from: files, data sets, batches."""
