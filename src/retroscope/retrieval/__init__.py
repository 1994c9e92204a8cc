"""Does it find the right passages? Exact search, TREC runs, measures per query, per layer too."""
