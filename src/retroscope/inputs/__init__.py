"""Inputs that the analyses of a study share: models, collections, the cache of vectors, samples, provenance."""
