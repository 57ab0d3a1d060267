"""The recipe: how a network is initialised, fed and optimised.

More than a dozen files, one for each part that a recipe has, as in `spec`; and beside them what
other tools call its keys.
"""
