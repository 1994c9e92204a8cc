"""Several stored studies on one page: what may be compared of them, their effects side by side, and their curves."""
