"""Pre-training of a backbone: architectures, tokenizers, objectives, batches and the training loop."""
