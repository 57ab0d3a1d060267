"""What a run learns from: files, data sets, batches.

Many files, since each layout, format of file, change of an image and step of loading is one: a
question of data is one of these.
"""
