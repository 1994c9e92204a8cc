"""Training: pre-train a backbone, and fine-tune a backbone into a retriever.

Both use the trainers of transformers and sentence-transformers. The result is an ordinary model folder with a
`training.json` that describes the training. An interrupted training can be resumed, and then gives the same bytes as an
uninterrupted one. Test queries are refused as training queries.
"""
