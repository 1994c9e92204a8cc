"""Reproduction: measure a published study again, point by point, under its own and under a corrected protocol."""
