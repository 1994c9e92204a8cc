"""Readers of data sets: one module a layout; `table` lists all of them."""
