"""What moved, in words, tables and figures."""

from pathlib import Path

import pytest
from retroscope.study.written_report import write_report

from retroscope.analyses.representations.figures import moved_figures
from retroscope.analyses.representations.result import MovedFindings
from retroscope.errors import AnalysisError
from retroscope.study.verdict import verdict
from retroscope.typesetting.statements import CHANGED, NOTE
from synthetic_findings import compare, findings, moved, retrieval


def said(found) -> list[str]:
    return [s.text for s in verdict(found).everything()]


def test_where_vectors_part() -> None:
    texts = said(findings(moved=moved()))
    assert any(
        text.startswith(
            "Query vectors before and after arrange texts most alike at layer 0 (CKA 1.000 [0.980, 1.000]) and least "
            "at layer 6 (post-norm) (0.400 [0.380, 0.420]; there two halves of a model's own dimensions reach 0.900, a "
            "random-weight twin of the backbone 0.200). By Procrustes, which large directions dominate less, they are "
            "least alike at layer 6 (post-norm) (0.400 [0.380, 0.420]; texts paired at random 0.000)."
        )
        for text in texts
    )
    assert any("FFN out (1 of 6 layers, most in layer 4: 50 %). Untouched: attention, FFN in." in t for t in texts)
    assert any(
        "The embedding space of passages at layer 6 (post-norm), estimated from 1,000 texts: mean cosine of two texts "
        "0.600 [0.590, 0.610] before and 0.200 [0.190, 0.210] after" in text
        for text in texts
    )


def test_without_a_twin_none_is_spoken_of() -> None:
    assert not any("twin of the backbone" in text for text in said(findings(moved=moved(twin=float("nan")))))


def test_geometry_alone() -> None:
    before, after = retrieval(gain=0.1, seed=3)
    found = findings(moved=moved(), whitened=compare(before, after))
    (only,) = [s for s in verdict(found).everything() if s.text.startswith("Whitening alone")]
    assert only.tone == CHANGED
    assert "of +0." in only.text
    assert not any(text.startswith("Whitening alone") for text in said(findings(moved=moved())))


def test_towers_of_their_own_are_told_apart() -> None:
    texts = said(findings(moved=moved(("query", "passage"))))
    assert sum(text.startswith("Query tower: 1 of 18 tensors changed") for text in texts) == 1
    assert sum(text.startswith("Passage tower: 1 of 18 tensors changed") for text in texts) == 1
    names = [figure.name for figure in moved_figures(findings(moved=moved(("query", "passage"))))]
    assert names == ["weights_query", "weights_passage", "similarity", "layer_map", "geometry"]


def test_all_of_it_is_described_and_not_tested() -> None:
    tones = {s.tone for s in verdict(findings(moved=moved())).statements if s.topic in ("weights", "what moved")}
    assert tones == {NOTE}


def test_page_and_tables(tmp_path: Path) -> None:
    before, after = retrieval(gain=0.1, seed=3)
    page = write_report(findings(moved=moved(), whitened=compare(before, after)), tmp_path).read_text("utf-8")
    for title in (
        "What moved",
        "Do both arrange texts alike?",
        "Which layer became which?",
        "What geometry alone gives",
    ):
        assert title in page
    written = {path.name for path in (tmp_path / "tables").iterdir()}
    assert written >= {"similarity.csv", "geometry.csv", "layer_map.csv", "weights.parquet", "weights_by_layer.csv"}
    assert written >= {"weights.tex", "whitened.tex"}


def test_columns_that_are_missing_are_named() -> None:
    whole = moved()
    with pytest.raises(AnalysisError, match=r"the similarity lacks the columns \['twin'\]"):
        MovedFindings(whole.weights, whole.similarity.drop(columns="twin"), whole.shape, whole.cross)
