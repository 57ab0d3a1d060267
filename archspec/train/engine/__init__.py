"""What moves weights: loss, gradients, updates, and the networks that judge them. What runs
exported files (`--engine`) is in the room `trained`.

More than a dozen files: MindSpore's optimizers and ours, and what is kept of compiled networks,
stand beside the one step that uses them all.
"""
