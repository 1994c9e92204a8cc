"""Inputs that the analyses of a study share: models, collections, vector cache, samples, provenance."""
