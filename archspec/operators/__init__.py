"""Operators: all that is known of each kind stands in its row; `table` lists the rows.

Rows are data and pure functions. They stand left of all rooms that use them, and import none of
them.
"""
