"""Studies that train a model: pre-training, fine-tuning, editing, and training ablations (grids)."""
