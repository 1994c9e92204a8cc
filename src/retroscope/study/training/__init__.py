"""Studies that train a model: pre-training, fine-tuning, and grids over parts, strategies, labels and seeds."""
