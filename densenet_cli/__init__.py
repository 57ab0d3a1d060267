"""The command `densenet`: one file a command, each a thin wrapper over one plain function."""
