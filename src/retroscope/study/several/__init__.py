"""Sets of studies: one backbone and several retrievers, planned, run and stored together."""
