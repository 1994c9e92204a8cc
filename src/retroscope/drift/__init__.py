"""What moved: weights, representations. Measured on two checkpoints or their stored vectors; nothing is trained."""
