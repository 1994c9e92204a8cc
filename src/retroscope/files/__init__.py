"""Files on a disk: what we write is whole, locked and checksummed; what others made is read within limits."""
