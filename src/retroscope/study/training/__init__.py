"""Studies that train: pre-training, fine-tuning, and grids of both."""
