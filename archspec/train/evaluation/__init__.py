"""How good a network is, and what a trained one says of images.

Many files, since labels, several labels and pixels are each counted, described and shown.
"""
