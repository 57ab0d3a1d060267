"""Looking at a run: before it begins, while it goes on, afterwards.

More than a dozen files: the screen, the log, TensorBoard, curves and the profiler are told apart.
"""
