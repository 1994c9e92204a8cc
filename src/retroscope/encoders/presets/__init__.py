"""Presets: the published recipes of known retrievers, to supply what a checkpoint omits. No torch in the table."""
