"""The question that the card answers."""

WHICH = "Which queries gained?"
