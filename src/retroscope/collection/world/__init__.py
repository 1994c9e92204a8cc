"""The controlled world: invented people, with known exposure of each fact in the training texts."""
