"""A set of studies: one backbone and several retrievers, each measured as alone; planned, run and kept together."""
