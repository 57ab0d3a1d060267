"""What data sets look like on a disk: folders, tables, masks, records."""
