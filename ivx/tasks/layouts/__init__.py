"""Layouts of task files: each module makes a sheet of one of them."""
