"""Inputs that a study's analyses share: models, collections, the vector cache, samples, provenance."""
