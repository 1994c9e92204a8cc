"""Presets: the published recipes of known retrievers, for what a checkpoint does not record. No torch in the table."""
