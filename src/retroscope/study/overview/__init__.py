"""One page about several stored studies: which of their numbers are comparable, their effects, and their curves."""
