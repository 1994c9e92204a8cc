"""Facts, in the layouts of published sets of facts, and as a retrieval collection."""
