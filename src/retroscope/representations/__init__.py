"""Representations: a retriever's pooled vectors of every layer over a collection, stored on disk.

`represent` tokenises the texts once, encodes them window by window, and writes the vectors to a store. The store has
checksums, and a key that is a hash of models, recipe and texts. A stopped run continues with the missing windows.
"""
