"""Drift: measure how two models differ in weights and representations, and how collections differ.

`weights` compares two checkpoints tensor by tensor. `spectrum` and `intruders` measure the singular directions of each
tensor's change. `by_layer` compares stored vectors layer by layer, with the statistics of `similarity` (CKA,
Procrustes), `pairs` (RSA, neighbours) and `geometry` (the shape of the embedding space). `shift` compares collections.
Nothing is trained.
"""
