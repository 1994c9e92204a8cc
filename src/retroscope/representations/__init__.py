"""Retriever x collection -> the pooled vectors of every layer, on disk."""
