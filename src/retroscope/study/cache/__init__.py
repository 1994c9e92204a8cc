"""The cache of vectors and measurements: list its entries, verify them, and make it smaller."""
