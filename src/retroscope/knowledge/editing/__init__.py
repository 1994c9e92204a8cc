"""Edit the facts of a backbone (add or remove them) by changing FFN output matrices."""
