"""Checks of an encoder before its vectors count: self-tests, signs of a wrong recipe, proofs of loading."""
