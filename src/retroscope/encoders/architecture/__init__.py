"""Architecture: where a model's blocks and matrices are, from a table of families or by tracing; then verified."""
