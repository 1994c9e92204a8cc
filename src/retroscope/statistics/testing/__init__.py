"""Tests of paired effects, corrections for multiple tests, and agreement by chance."""
