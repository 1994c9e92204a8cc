"""What does an activation carry? It is put into a run on a corrupted text, from the same model or from another one."""
