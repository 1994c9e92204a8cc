"""Encoders: load checkpoints, verify them, and turn texts into vectors.

`load_encoder` and `load_retriever` turn a name or folder into an `Encoder` (backbone, tokenizer, recipe) or a
`Retriever` (a query tower, a passage tower, a similarity). A `Recipe` holds everything besides the weights that
determines a vector, each field with its source. Loading checks that every weight equals the checkpoint's. `self_test`
checks that padding and batch size change vectors by no more than rounding. `capture` is the only module that registers
hooks. `with_random_weights` makes the random-weight control: the same model
with random weights.
"""
