"""Whole studies: plan, measure and keep everything that compares a backbone with the retriever fine-tuned from it.

`compare` runs all analyses on both models and returns a `Study`, which saves, loads and reports itself. Here are the
settings and protocols, the cache of vectors, the provenance of every number, the analyses of one model (`embed`,
`neurons`, `doctor`), `diff`, `transplant`, and grids of trainings. The only package that knows all others but the
command line.
"""
