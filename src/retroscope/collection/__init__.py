"""What is searched, and what should be found: records, readers, and the checks at the door."""
