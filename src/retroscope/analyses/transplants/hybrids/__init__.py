"""Measurement of hybrids: their vectors and scores, a pilot, random changes and further trainings."""
