"""Files on disk: write them whole, locked and with checksums, and read others' within limits."""
