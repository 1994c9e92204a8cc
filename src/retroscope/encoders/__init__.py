"""Encoders: load checkpoints, verify them, and turn texts into vectors.

`load_encoder` and `load_retriever` turn a name or folder into an `Encoder` (backbone, tokenizer, recipe) or a
`Retriever` (a query tower, a passage tower, a similarity). A `Recipe` holds all that decides a vector besides the
weights, each field with its source. Loading proves that every weight is the checkpoint's. `self_test` proves that
padding and batch size change nothing. `capture` is the only module that registers hooks. `with_random_weights` makes
the random-weight control.
"""
