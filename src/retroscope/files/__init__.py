"""Files on disk: write own files completely and with checksums, lock folders, and read foreign files within limits."""
