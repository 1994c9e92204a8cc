"""Resampling of query texts: bootstrap and jackknife intervals, and null distributions by sign flips."""
