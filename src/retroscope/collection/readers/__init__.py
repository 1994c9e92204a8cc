"""Readers of data sets: one module for each layout. `registry` lists them."""
