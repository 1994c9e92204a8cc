"""Top neurons: how they are selected, how stable and concentrated they are, and how far two models share them."""
