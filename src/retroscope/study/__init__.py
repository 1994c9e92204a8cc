"""Studies: plan, measure, store and report comparisons of a backbone with its retriever.

`compare` runs all analyses on both models and returns a `Study`, which saves, loads and reports itself. Here are the
settings and protocols, the cache of vectors, the provenance of every number, the analyses of one model (`embed`,
`neurons`, `doctor`), `diff`, `transplant`, and grids of trainings. The only package that knows all others but the
command line.
"""
