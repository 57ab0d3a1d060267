"""What a run learns from.

`images` reads and changes one image, `sources` has labelled images wherever they lie, `formats`
knows what data sets look like on a disk, `batches` fills batches; the files here open, check and
pack whole data sets.
"""
