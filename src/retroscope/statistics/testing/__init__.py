"""Tests of paired effects, their corrections, and what agreement by luck would give."""
