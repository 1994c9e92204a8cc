"""Probing: measure how well small models tell relevant passages from hard negatives by the vectors of each layer."""
