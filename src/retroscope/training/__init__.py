"""Training: pre-train a backbone, and fine-tune it into a retriever.

Both run on the trainers of transformers and sentence-transformers. The result is an ordinary sentence-transformers
folder with a `training.json` that says how it was made. An interrupted training resumes to the same bytes. Queries of a
test are refused as training pairs.
"""
