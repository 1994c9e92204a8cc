"""Drift: measure how two models differ in weights and representations, and how collections differ.

Drift of their weights and of their representations. Nothing is trained.

`weights` compares two checkpoints tensor by tensor, `spectrum` and `intruders` the directions of each change.
`representations` compares stored vectors layer by layer: `similarity` (CKA, RSA, neighbours) and `geometry` (the shape
of the embedding space).
"""
