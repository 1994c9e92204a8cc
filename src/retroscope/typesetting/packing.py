"""Packing: data and libraries inside a page, compressed. The page's script unpacks them."""

import base64
import gzip
import json

from markupsafe import Markup

LEVEL = 9


def packed(text: str) -> Markup:
    """Return a text as gzip in base64, which no script element can end; the same bytes each time."""
    return Markup(base64.b64encode(gzip.compress(text.encode(), LEVEL, mtime=0)).decode("ascii"))


def packed_json(value: object) -> Markup:
    """Return JSON-like values likewise.

    Raises:
        ValueError: if a number is not finite, which JSON cannot hold.
    """
    return packed(json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False))
