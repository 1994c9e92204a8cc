"""Formats of files whose rows contain texts: one module for each format. `registry` lists them."""
