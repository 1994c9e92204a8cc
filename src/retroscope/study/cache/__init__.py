"""The cache of vectors and measurements: what it keeps, whether that is sound, and how to make it smaller."""
