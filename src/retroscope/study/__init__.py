"""Whole studies: settings, stages, artefacts."""
