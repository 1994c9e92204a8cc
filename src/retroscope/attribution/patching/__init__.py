"""Put an activation into a run on a corrupted text, from the same model or from another one."""
