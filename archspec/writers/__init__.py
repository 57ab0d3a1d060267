"""A graph written as MindSpore cells, pictures, tables and JSON."""
