"""Pre-training of a backbone: shapes, vocabulary, objectives, batches and the training itself."""
