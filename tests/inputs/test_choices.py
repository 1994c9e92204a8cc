"""The published protocol probes the rows of the source as they stand; the default one cleans them."""

import json
from pathlib import Path

import numpy as np
import pytest

from retroscope.collection.collection import Collection
from retroscope.collection.loading import load_collection
from retroscope.collection.negatives import hard_negatives
from retroscope.inputs.choices import choices_of, pairs_of
from retroscope.probing.settings import ProbeSettings
from retroscope.probing.tasks import build_task

PUBLISHED = ProbeSettings(protocol="ielab-2025")
PLAIN = [("one", "p1", "n1", "n2", "n3", "n4"), ("two", "p2", "n5", "n6", "n7", "n8")]
QUIRKS = {
    "a negative twice": [("one", "p1", "n1", "n1", "n2", "n3"), ("two", "p2", "n2", "n2", "n2", "n1")],
    "relevant in another row": [("one", "p1", "p3", "n2", "n3", "n4"), ("one", "p3", "p1", "n6", "n7", "n8")],
    "its own relevant passage": [("one", "p1", "p1", "n2", "n3", "n4"), ("two", "p2", "n1", "n2", "n3", "n4")],
    "a row twice": [PLAIN[0], PLAIN[0], PLAIN[1]],
    "other negatives": [PLAIN[0], ("one", "p1", "n5", "n6", "n7", "n8"), PLAIN[1]],
    "questions by turns": [("two", "p2", *PLAIN[0][2:]), PLAIN[0], ("two", "p4", *PLAIN[0][2:])],
}


def collection_of(rows: list[tuple[str, ...]], folder: Path) -> Collection:
    names = ("question", "positive_context", *(f"negative_context_{k}" for k in range(4)))
    lines = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
    (folder / "rows.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return load_collection(f"ielab:{folder / 'rows.jsonl'}")


def choices(collection: Collection, protocol: str) -> list[tuple[str, ...]]:
    settings = PUBLISHED if protocol == "ielab-2025" else ProbeSettings()
    found = choices_of(hard_negatives(collection, 50, how="given"), settings, protocol)
    text = collection.passage_text
    return [(collection.queries[c.query_id].text, text(c.positive), *map(text, c.negatives)) for c in found]


@pytest.mark.parametrize("rows", [PLAIN, *QUIRKS.values()], ids=["plain", *QUIRKS])
def test_published_choices_are_the_rows(rows: list[tuple[str, ...]], tmp_path: Path) -> None:
    collection = collection_of(rows, tmp_path)
    assert choices(collection, "ielab-2025") == rows
    pairs = pairs_of(hard_negatives(collection, 50, how="given"), "ielab-2025")
    task = build_task(pairs, 5, as_given=True)
    shown = [[collection.passage_text(task.passage_ids[p]) for p in row] for row in task.passages]
    assert shown == [list(row[1:]) for row in rows]
    assert [collection.queries[task.query_ids[q]].text for q in task.query] == [row[0] for row in rows]


@pytest.mark.parametrize("name", [name for name in QUIRKS if name != "questions by turns"])
def test_the_default_protocol_cleans_them(name: str, tmp_path: Path) -> None:
    found = choices(collection_of(QUIRKS[name], tmp_path), "default")
    assert found != QUIRKS[name]
    relevant = {question: {row[1] for row in QUIRKS[name] if row[0] == question} for question, *_ in found}
    for question, _, *negatives in found:
        assert len({*negatives}) == len(negatives)
        assert not {*negatives} & relevant[question]


def test_a_row_without_negatives_keeps_its_place(tmp_path: Path) -> None:
    """It is no choice, but its texts are attributed, in the order of the rows."""
    rows = [
        {"query": q, "positive": p, "negative": n}
        for q, p, n in (("a", "p1", ["n"]), ("b", "p2", []), ("a", "p3", ["n"]))
    ]
    lines = [json.dumps({"query": r["query"], "pos": [r["positive"]], "neg": r["negative"]}) for r in rows]
    (tmp_path / "rows.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    collection = load_collection(f"flag:{tmp_path / 'rows.jsonl'}")
    pairs = pairs_of(hard_negatives(collection, 50, how="given"), "ielab-2025")
    assert [collection.passage_text(c.positive) for c in pairs] == ["p1", "p2", "p3"]
    assert build_task(pairs, 2, as_given=True).dropped == 1


def test_rows_count_in_the_fingerprint_where_they_say_more(tmp_path: Path) -> None:
    for rows in (PLAIN, QUIRKS["a row twice"]):
        collection = collection_of(rows, tmp_path)
        bare = Collection(
            collection.name, collection.passages, collection.queries, collection.judgments, collection.candidates
        )
        assert (collection.fingerprint == bare.fingerprint) == (rows is PLAIN)


def test_fewer_queries_have_fewer_rows(tmp_path: Path) -> None:
    collection_of(QUIRKS["a row twice"], tmp_path)
    kept = load_collection(f"ielab:{tmp_path / 'rows.jsonl'}", limit_queries=1)
    assert {c.query_id for c in kept.rows} == {*kept.queries}
    assert np.isin([c.positive for c in kept.rows], list(kept.passages)).all()
