"""Presets: published recipes of known retrievers, for the recipe fields that a checkpoint does not record."""
