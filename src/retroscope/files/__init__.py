"""Files on disk: write them completely, locked and with checksums, and read others' files within limits."""
