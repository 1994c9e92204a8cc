"""Checks of `retroscope doctor`: of one model, of a pair, and of recipes on a collection."""
