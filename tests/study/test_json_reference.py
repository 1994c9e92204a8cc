"""docs/reference/json.md names every field of a real `summary.json`."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from retroscope.study.study import Study

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "json.md"
NAME = re.compile(r"[a-z][a-z_]*")
# Keyed by a label (a package, a stage, a pooling), or free in form: the recipe has a page of its own.
NOT_OPENED = {
    "settings",
    "versions",
    "timings",
    "statistics",
    "recipe",
    "proof",
    "counts",
    "mapping",
    "negatives",
    "left_out",
}


def field_names(value: Any) -> Iterator[str]:
    """Yield the names of all fields; keys that are labels (a measure, a layer) are no names."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if NAME.fullmatch(key):
                yield key
            if key not in NOT_OPENED:
                yield from field_names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from field_names(inner)


def documented(text: str) -> set[str]:
    """Return the words that stand in backticks."""
    return {word for code in re.findall(r"`([^`\n]+)`", text) for word in re.findall(NAME, code)}


def test_every_field_of_a_summary_is_on_the_page(study: Study) -> None:
    names = set(field_names(study.summary()))
    known = documented(PAGE.read_text(encoding="utf-8"))
    assert {"statements", "answer", "difference", "split_sizes"} <= names
    missing = sorted(names - known)
    assert missing == [], " ".join(missing)


def test_a_field_that_is_missing_is_found() -> None:
    assert set(field_names({"analyses": {"layers": [{"nDCG@10": {"mean": 1, "unheard_of": 2}}]}})) - documented(
        "`analyses`, `layers`, `mean`"
    ) == {"unheard_of"}
