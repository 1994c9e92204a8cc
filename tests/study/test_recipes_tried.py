"""`doctor --data` finds the recipe that fits, doubts none that fits, and finds leaks."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retroscope.collection.loading import load_collection
from retroscope.encoders.checks.finding import NOTE, PASSED, WARNING, Finding
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.inputs.settings import DataSettings
from retroscope.study.demo import shipped, write_demo_world
from retroscope.study.doctor.recipes_tried import (
    Sample,
    data_findings,
    leak_findings,
    paired_interval,
    plausible,
    recipe_finding,
    reciprocal_ranks,
    small_sample,
    with_fields,
)


@pytest.fixture(scope="module")
def retriever() -> Retriever:
    return load_retriever(shipped().retriever)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    world = write_demo_world(tmp_path_factory.mktemp("world"))
    whole = small_sample(load_collection(f"beir:{world}", split="known-held-out"), 0)
    return Sample(whole.queries[:80], whole.passages[:300], tuple(r for r in whole.relevant[:80]))


def test_the_recipe_that_fits_is_not_doubted(retriever: Retriever, sample: Sample) -> None:
    assert recipe_finding(retriever, sample, "world").severity == PASSED


def test_a_recipe_that_does_not_fit_is_found(retriever: Retriever, sample: Sample) -> None:
    found = recipe_finding(with_fields(retriever, pooling="cls"), sample, "world")
    assert found.severity == WARNING
    assert "mean pooling" in found.text
    assert "40" not in found.fix


def test_one_change_at_a_time_is_tried(retriever: Retriever) -> None:
    tried = dict(plausible(retriever))
    assert "mean pooling" not in tried
    assert {"cls pooling", "last_token pooling"} <= tried.keys()
    for other in tried.values():
        own, new = (r.passage.recipe.identity() for r in (retriever, other))
        differ = {field for field in own if own[field] != new[field]}
        assert differ <= {"pooling", "append_eos", "prompt"}


def test_reciprocal_ranks_count_ties_against_the_query(retriever: Retriever) -> None:
    texts = ("ana lives here", "ana lives here", "somebody else")
    same = Sample(("ana lives here",), texts, (frozenset({1}),))
    assert reciprocal_ranks(retriever, same).tolist() == [0.5]
    assert reciprocal_ranks(retriever, replace(same, relevant=(frozenset({0, 1}),))).tolist() == [1.0]


def test_the_interval_is_that_of_the_t_distribution() -> None:
    low, high = paired_interval(np.array([0.0, 1.0, 0.0, 1.0]))
    assert (round(low, 4), round(high, 4)) == (-0.4187, 1.4187)
    assert paired_interval(np.zeros(5)) == (0.0, 0.0)


def test_queries_of_one_text_are_one_query(tmp_path: Path) -> None:
    """Else one text is in the choosing and in the stating half, and counts several times in the interval."""

    def repeat(passages: list[dict[str, str]], queries: list[dict[str, str]]) -> None:
        queries[:] = [{"_id": f"q{k}", "text": f"query  NUMBER {k % 6}"} for k in range(24)]
        queries[0]["text"] = "Query number 0"

    drawn = small_sample(load_collection(folder(tmp_path, repeat).source))
    assert len(drawn.queries) == len(drawn.relevant) == 6
    assert drawn.queries[0] == "Query number 0", "as its first query writes it"
    relevant = [sorted(drawn.passages[place] for place in places) for places in drawn.relevant]
    assert relevant[0] == sorted(f"passage number {k}" for k in (0, 6)), "of the test split"


def folder(place: Path, change: Callable[[list[dict[str, str]], list[dict[str, str]]], None]) -> DataSettings:
    passages = [{"_id": f"p{k}", "text": f"passage number {k}"} for k in range(30)]
    queries = [{"_id": f"q{k}", "text": f"query number {k}"} for k in range(24)]
    change(passages, queries)
    (place / "qrels").mkdir(parents=True)
    for name, rows in (("corpus", passages), ("queries", queries)):
        (place / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    for split, numbers in (("test", range(12)), ("train", range(12, 24))):
        rows = "".join(f"q{k}\tp{k}\t1\n" for k in numbers)
        (place / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}")
    return DataSettings(source=f"beir:{place}")


def of(data: DataSettings, check: str) -> Finding:
    (found,) = [f for f in leak_findings(load_collection(data.source), data) if f.check == check]
    return found


def test_a_split_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    data = folder(tmp_path, lambda passages, queries: None)
    (tmp_path / "qrels" / "train.tsv").write_text("q1\tp99\t1\n")
    assert of(data, "leaks").severity == NOTE
    assert of(data, "leaks").text.startswith("the split 'train' cannot be read, so its queries are not compared: judgm")


def test_leaks_and_repeated_texts_are_found(tmp_path: Path, retriever: Retriever) -> None:
    clean = folder(tmp_path / "clean", lambda passages, queries: None)
    assert (of(clean, "leaks").severity, of(clean, "repeated texts").severity) == (PASSED, PASSED)

    def leak(passages: list[dict[str, str]], queries: list[dict[str, str]]) -> None:
        queries[13]["text"] = queries[0]["text"].upper()
        queries[1]["text"] = passages[5]["text"]

    leaking = folder(tmp_path / "leaking", leak)
    assert of(leaking, "leaks").text == "1 of 12 queries are also in the split 'train'"
    assert "1 that of a passage" in of(leaking, "repeated texts").text
    assert of(leaking, "repeated texts").severity == WARNING
    last = [*data_findings(retriever, clean)][-1]
    assert (last.severity, last.text[:17]) == (NOTE, "12 judged queries")
