"""The tests' pair: the same from the same seed, quiet, and hard in the way that it says."""

from pathlib import Path

import numpy as np
import pytest

from retroscope.collection.collection import Collection
from retroscope.collection.negatives import hard_negatives
from tiny_pair import ANIMALS, MONTHS, PEOPLE, TOWNS, TRADES, people
from tiny_study import Tiny, make_tiny


def test_the_same_seed_makes_the_same_files(tiny: Tiny, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    again = make_tiny(tmp_path)
    assert capfd.readouterr() == ("", "")
    for one, two in ((tiny.backbone, again.backbone), (tiny.retriever, again.retriever)):
        assert (one / "model.safetensors").read_bytes() == (two / "model.safetensors").read_bytes()
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv"):
        assert (tiny.collection / name).read_bytes() == (again.collection / name).read_bytes()


def test_people_differ_and_so_do_seeds() -> None:
    everyone = people(0)
    assert len(everyone) == len({person.query for person in everyone}) == PEOPLE
    assert everyone == people(0) != people(1)


def test_only_animals_and_months_have_one_word() -> None:
    allowed = {*ANIMALS, *MONTHS, "a", "in"}  # the last two are stop words
    for person in people(0):
        assert {*person.passage.split()} & {*person.query.split()} <= allowed
    said, asked = zip(*TRADES, *TOWNS, strict=True)
    assert not {*said} & {*asked}


def test_words_alone_find_negatives_and_not_the_answer(collection: Collection) -> None:
    mined = hard_negatives(collection, 20)
    assert min(len(c.negatives) for c in mined.candidates) >= 10
    from retroscope.collection.bm25 import bm25_ranking

    ranking = bm25_ranking(collection)
    firsts = [ranking(c.query_id, 1)[0] == c.positive for c in mined.candidates]
    assert np.mean(firsts) < 0.6
