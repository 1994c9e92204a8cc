"""Formats of files whose rows carry texts: one module for each; `table` lists them."""
