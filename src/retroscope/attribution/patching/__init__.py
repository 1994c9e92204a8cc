"""Activation patching: put an activation of a clean text into a run on its corrupted text."""
