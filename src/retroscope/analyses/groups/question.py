"""The question that the card about groups of queries answers."""

WHICH = "Which queries gained?"
