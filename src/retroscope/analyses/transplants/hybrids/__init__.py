"""Measurement of hybrids: their vectors and scores, the check of a lower precision, random changes, more trainings."""
