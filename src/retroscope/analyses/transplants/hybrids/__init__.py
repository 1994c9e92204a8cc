"""Measure retrieval with hybrids of two models: their vectors and scores, controls, and other training runs."""
