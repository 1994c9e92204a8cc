"""The question about groups of queries that the first screen of the report answers."""

WHICH = "Which queries gained?"
