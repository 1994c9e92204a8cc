"""Does retrieval need these neurons? Retrieval with them fixed at one value, against two controls."""
