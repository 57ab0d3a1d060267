"""What `validate` and `predict` call: a network is opened, asked, and the work is shared."""
