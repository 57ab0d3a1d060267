"""The command `densenet`: one file a command, each a thin wrapper over one plain function.

More than a dozen files, since a command is looked for by its name.
"""
