"""Representations: a retriever's pooled vectors of every layer over a collection, stored on disk.

`represent` takes an inventory of the texts, streams them through the towers and writes a store that is checksummed,
keyed by what made it, and resumable: memory holds one window of texts.
"""
