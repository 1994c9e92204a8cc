"""Activation patching: put an activation of a clean text into a run on the corrupted text."""
