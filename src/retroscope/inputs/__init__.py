"""What a study reads and its analyses share: models and collections, where vectors are kept, samples, provenance."""
