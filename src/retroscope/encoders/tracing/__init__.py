"""Find the anatomy of a model family outside the table by a forward pass."""
