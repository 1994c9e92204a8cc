"""Map a file into memory, and give the memory back after reading."""

import sys
from mmap import ACCESS_READ, mmap
from typing import IO

if sys.platform == "linux":
    from mmap import MADV_DONTNEED


def map_file(file: IO[bytes]) -> mmap:
    """Map an open file for reading. The mapping outlives the file object."""
    return mmap(file.fileno(), 0, access=ACCESS_READ)


def forget_pages(mapped: mmap) -> None:
    """Remove the pages of a mapped file from the memory of this process. The next access reads them again.

    Without this, every page that was read once counts as memory of the process. Only Linux supports it.
    """
    if sys.platform == "linux":
        mapped.madvise(MADV_DONTNEED)
