"""Anyone who reads our run file computes our numbers."""

import json
import subprocess
import sys
from pathlib import Path

import ir_measures
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from retroscope.errors import AnalysisError, SettingsError
from retroscope.representations.vectors import representations_in_memory
from retroscope.retrieval.measures import DEFAULT_MEASURES, depth, measure_queries, parse_measure
from retroscope.retrieval.runs import run_of, write_run
from retroscope.retrieval.search import as_run, search

# trec_eval has no RR@10; of ten passages it is RR. (ir-measures computes it by its own order of ties.)
NAMES = (*(m for m in DEFAULT_MEASURES if m != "RR@10"), "AP", "RR", "P@5", "Success@1", "nDCG@3")
text_id = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=4)


@st.composite
def tied(draw: st.DrawFn) -> tuple[list[str], np.ndarray, np.ndarray, dict[str, dict[str, int]]]:
    """Passages with few distinct vectors and any ids, queries, and graded judgments."""
    ids = draw(st.lists(text_id, min_size=2, max_size=25, unique=True))
    kinds = draw(st.lists(st.lists(st.floats(-2, 2, width=16), min_size=2, max_size=2), min_size=1, max_size=4))
    vectors = np.array([draw(st.sampled_from(kinds)) for _ in ids])
    queries = np.array(draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=3)))
    qrels = {
        f"q{i}": {d: draw(st.integers(0, 2)) for d in draw(st.lists(st.sampled_from(ids), min_size=1, unique=True))}
        for i in range(len(queries))
    }
    return ids, vectors, queries, {q: {**judged, ids[0]: 1} for q, judged in qrels.items()}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=tied())
def test_our_measures_are_those_that_trec_eval_computes_from_the_file(
    tmp_path: Path, case: tuple[list[str], np.ndarray, np.ndarray, dict[str, dict[str, int]]]
) -> None:
    ids, vectors, queries, qrels = case
    passages = representations_in_memory(ids, vectors.astype(np.float32)[:, None])
    ranking = search(queries.astype(np.float32), passages, 10, similarity="dot")
    run = as_run(ranking, list(qrels), ids, skip_identical=False, k=10)
    ours = measure_queries(run, qrels, [*NAMES, "RR@10"])
    write_run(run, tmp_path / "a.run", "us")
    read = list(ir_measures.read_trec_run(str(tmp_path / "a.run")))
    by_trec = ir_measures.pytrec_eval.iter_calc([parse_measure(name) for name in NAMES], qrels, read)
    theirs = {(m.query_id, str(m.measure)): m.value for m in by_trec}
    mine = {(q, name): float(ours.sel(query=q, measure=name)) for q in qrels for name in NAMES}
    assert theirs == pytest.approx(mine, abs=1e-12)
    assert ours.sel(measure="RR@10").values.tolist() == ours.sel(measure="RR").values.tolist()
    order = {q: [d for d, _ in hits] for q, hits in run.items()}
    for q, hits in order.items():
        scored = sorted(((m.score, m.doc_id) for m in read if m.query_id == q), reverse=True)
        assert [d for _, d in scored] == hits


def test_a_run_file_has_six_columns_and_every_digit(tmp_path: Path) -> None:
    score = float(np.float32(1) / np.float32(3))
    write_run({"q1": [("d2", score), ("d1", -1e-20)], "q2": []}, tmp_path / "new" / "a.run", "my tag")
    assert (tmp_path / "new" / "a.run").read_text() == "q1 Q0 d2 1 0.33333334 my-tag\nq1 Q0 d1 2 -1e-20 my-tag\n"
    assert np.float32("0.33333334") == np.float32(score)
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.run"]
    write_run({"q1": [("d1", 1.0)]}, tmp_path / "a.run", " ")
    assert (tmp_path / "a.run").read_text() == "q1 Q0 d1 1 1.0 retroscope\n"


@pytest.mark.parametrize("bad", ["a b", "a\tb", " a", "a\u00a0b", "a\n", ""])
def test_ids_with_white_space_are_refused_before_anything_is_written(tmp_path: Path, bad: str) -> None:
    for run in ({bad: [("d", 1.0)]}, {"q": [("d", 2.0), (bad, 1.0)]}):
        with pytest.raises(AnalysisError, match=r"a\.run: these ids contain white space(.|\n)*fix: rename these ids"):
            write_run(run, tmp_path / "a.run", "us")
    assert list(tmp_path.iterdir()) == []


def test_a_query_without_results_scores_zero_and_is_there() -> None:
    qrels = {"a": {"x": 1}, "b": {"x": 1}, "c": {"y": 1}}
    scores = measure_queries({"c": [], "a": [("x", 0.0)], "z": [("x", 1.0)]}, qrels, ["R@10", "AP"])
    assert scores.dims == ("query", "measure")
    assert scores.coords["query"].values.tolist() == ["a", "b", "c"]
    assert scores.values.tolist() == [[1, 1], [0, 0], [0, 0]]


@pytest.mark.parametrize("grade", [0, -1, -2, -1000])
def test_a_query_without_a_relevant_passage_scores_0(grade: int) -> None:
    """In a process of its own: where all grades of a query are below -1, trec_eval ends the process."""
    code = f"""
from retroscope.retrieval.measures import measure_queries
run = {{"a": [("x", 1.0)], "b": [("x", 2.0), ("y", 1.0)]}}
qrels = {{"a": {{"x": 1}}, "b": {{"x": {grade}, "y": {grade}}}}}
names = ["nDCG@10", "AP", "RR", "RR@10", "R@1", "Bpref", "infAP", "Judged@10"]
print(measure_queries(run, qrels, names).values.tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[1] == [0, 0, 0, 0, 0, 0, 0, 1]


def test_the_order_of_the_run_decides_and_not_its_scores() -> None:
    tied_by_score = {"q": [("a", 1.0), ("b", 1.0)]}  # trec_eval would put b first
    assert measure_queries(tied_by_score, {"q": {"a": 1}}, ["RR"]).item() == 1
    assert measure_queries(tied_by_score, {"q": {"b": 1}}, ["RR"]).item() == 0.5


def test_measures_by_hand() -> None:
    run = {"q": [("x", 3.0), ("a", 2.0), ("b", 1.0)]}
    scores = measure_queries(run, {"q": {"a": 2, "b": 1, "c": 1}}, ["nDCG@10", "RR@10", "R@2", "P@2"])
    ideal = 2 + 1 / np.log2(3) + 1 / 2
    np.testing.assert_allclose(scores.values[0], [(2 / np.log2(3) + 1 / 2) / ideal, 0.5, 1 / 3, 0.5])


def test_depth_is_what_the_measures_look_at() -> None:
    assert depth(["RR@10"]) == 10
    assert depth(["nDCG@10", "R@1000"]) == 1000
    assert depth(["AP"]) == 100
    assert depth(["P@1"]) == 10


@pytest.mark.parametrize("name", ["nDGC@10", "", "nDCG@", "P@-1", "R@10 R@20", "RR@10 ", " AP"])
def test_an_unknown_measure_shows_the_known(name: str) -> None:
    with pytest.raises(SettingsError, match=r"unknown measure (.|\n)*AP, P@1, P@10, R@10"):
        parse_measure(name)


def test_measures_that_cannot_be_computed_are_refused() -> None:
    with pytest.raises(
        SettingsError, match=r"the cut-off 0 of the measure 'nDCG@0' is not possible\n  fix: give a cut-off from 1 to"
    ):
        parse_measure("nDCG@0")
    for name in ("RBP", "SDCG@10"):
        with pytest.raises(SettingsError, match=rf"no installed package computes the measure '{name}'\n  fix: "):
            parse_measure(name)
    with pytest.raises(SettingsError, match="did you mean 'nDCG@10'"):
        parse_measure("ndcg@10")


def test_a_written_run_is_read_in_its_order_and_written_as_it_was(tmp_path: Path) -> None:
    run = {"q2": [("b", 0.1), ("a", 0.1), ("c", -1.5e-7)], "q1": [("é", 3.0)], "none": []}
    write_run(run, tmp_path / "one.run", "a name")
    again = run_of((tmp_path / "one.run").read_bytes())
    assert {query: [passage for passage, _ in hits] for query, hits in again.items()} == {
        "q2": ["b", "a", "c"],
        "q1": ["é"],
    }
    write_run(again, tmp_path / "two.run", "a name")
    assert (tmp_path / "one.run").read_bytes() == (tmp_path / "two.run").read_bytes()
