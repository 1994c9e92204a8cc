"""Sets of studies of one backbone with several retrievers, which are planned, run and stored together."""
