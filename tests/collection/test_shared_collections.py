"""The real data beside the checkout: sizes as their own README says."""

import time

import pytest

from retroscope.collection.loading import load_collection
from retroscope.collection.negatives import hard_negatives

SIZES = {
    "nq-open-gold": (2655, 2600),
    "squad1-train5pct-tokenised": (4285, 875),
    "xquad/en": (1190, 240),
    "xquad/de": (1190, 240),
    "xquad/zh": (1190, 240),
    "xquad/ar": (1190, 240),
    "pubmedqa-l": (1000, 1000),
    "policyqa/dev": (2420, 574),
}


@pytest.mark.shared
@pytest.mark.parametrize("name", SIZES)
def test_real_data_load_by_content(shared, name):
    c = load_collection(shared / "data" / name)
    assert (len(c.queries), len(c.passages)) == SIZES[name]
    assert len(c.judged_queries) == len(c.queries)
    assert c.mapping["format"] == "beir"
    assert c.notes == ()
    assert not c.ignore_identical_ids  # PubMedQA's passages have their question's id, and are its answer


@pytest.mark.shared
def test_bm25_negatives_of_natural_questions(shared):
    c = load_collection(shared / "data" / "nq-open-gold")
    start = time.perf_counter()
    mined = hard_negatives(c, 4)
    assert time.perf_counter() - start < 20  # about 1 s on an idle core
    assert len(mined.candidates) == 2655
    assert mined.short <= 3
    long = hard_negatives(c, 60)
    assert sum(len(x.negatives) == 60 for x in long.candidates) > 2600
    assert mined.candidates[0].negatives == long.candidates[0].negatives[:4]
