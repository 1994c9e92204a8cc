"""Find the anatomy of a model family outside the table of families by a forward pass."""
