"""Operators: all that is known of each kind stands in its row; `table` lists the rows.

More than a dozen files: one for each family of operators, beside what rows have in common.

Rows are data and pure functions. They stand left of all rooms that use them, and import none of
them.
"""
