"""Read published sets of facts, as facts or as a retrieval collection."""
