"""Statistical tests: paired tests, equivalence tests, corrections for multiple tests, and agreement by chance."""
