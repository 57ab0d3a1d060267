"""Processes and nodes of a job that fail, hang or cannot be reached; not what is wrong in what
a user wrote.
"""
