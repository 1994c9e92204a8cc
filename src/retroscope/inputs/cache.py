"""The default folder of the cache, which holds text vectors and stored results."""

import os
from pathlib import Path


def default_cache() -> Path:
    """Return the folder of the cache: `$RETROSCOPE_CACHE`, else `retroscope` in the user's cache folder (XDG)."""
    named = os.environ.get("RETROSCOPE_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "retroscope"
