"""Examples: which texts and vectors a query's score and margin are made of."""

from dataclasses import replace

import pytest
import torch

from retroscope.attribution.attribute import attribute_neurons, plan_attribution
from retroscope.attribution.examples import collection_examples, objective
from retroscope.attribution.result import CHANGE
from retroscope.attribution.settings import AttributionSettings
from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Candidates, Judgment, Passage, Query
from retroscope.encoders.encode import encode_layers
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.errors import AnalysisError
from retroscope.statistics import IntervalSettings, summarise
from toys import TEXTS, save_toy

PASSAGES = {f"p{i}": text for i, text in enumerate((*TEXTS, "The cat reads.", "Rivers flood the moon."))}
QUERIES = {"q0": "what bends light", "q1": "when does the river flood", "q2": "who wrote it"}
CANDIDATES = (
    Candidates("q0", "p0", ("p1", "p2", "p3")),
    Candidates("q0", "p4", ("p1", "p2", "p3")),
    Candidates("q1", "p1", ("p0", "p5", "p2")),
    Candidates("q2", "p2", ()),
)


@pytest.fixture(scope="module")
def collection() -> Collection:
    return make_collection(
        "toy",
        passages=[Passage(i, text) for i, text in PASSAGES.items()],
        queries=[Query(i, text) for i, text in QUERIES.items()],
        judgments=[Judgment(c.query_id, c.positive) for c in CANDIDATES],
    )


@pytest.fixture(scope="module")
def retriever(tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    folder = save_toy("bert", tmp_path_factory.mktemp("toy") / "bert")
    return load_retriever(folder, pooling="mean", similarity="dot")


def vector(retriever: Retriever, text: str) -> torch.Tensor:
    return encode_layers(retriever.passage, [text]).final[0]


def test_the_margin_takes_the_hardest_of_the_negatives(retriever: Retriever, collection: Collection) -> None:
    examples = collection_examples(retriever, collection, CANDIDATES, AttributionSettings(target="margin", negatives=3))
    assert [example.id for example in examples] == ["q0", "q1"]  # q2 has no negative
    for example, candidates in zip(examples, (CANDIDATES[0], CANDIDATES[2]), strict=True):
        query = vector(retriever, QUERIES[example.id])
        hardest = max(candidates.negatives, key=lambda p: float(query @ vector(retriever, PASSAGES[p])))
        assert example.texts == (PASSAGES[candidates.positive], PASSAGES[hardest])
        assert example.signs == (1.0, -1.0)
        torch.testing.assert_close(example.others[0], query, atol=1e-5, rtol=1e-5)


def test_fewer_negatives_are_looked_at_when_so_told(retriever: Retriever, collection: Collection) -> None:
    examples = collection_examples(retriever, collection, CANDIDATES, AttributionSettings(target="margin", negatives=1))
    assert [example.texts[1] for example in examples] == [PASSAGES["p1"], PASSAGES["p0"]]


def test_on_the_query_tower_the_margin_is_one_text_and_a_difference(
    retriever: Retriever, collection: Collection
) -> None:
    settings = AttributionSettings(target="margin", tower="query", negatives=1)
    example = collection_examples(retriever, collection, CANDIDATES, settings)[0]
    assert example.texts == (QUERIES["q0"],)
    expected = vector(retriever, PASSAGES["p0"]) - vector(retriever, PASSAGES["p1"])
    torch.testing.assert_close(example.others[0], expected, atol=1e-5, rtol=1e-5)


def test_the_score_needs_no_negative(retriever: Retriever, collection: Collection) -> None:
    examples = collection_examples(retriever, collection, CANDIDATES, AttributionSettings(target="score"))
    assert [example.id for example in examples] == ["q0", "q1", "q2"]
    assert all(len(example.texts) == 1 for example in examples)


def test_the_norm_takes_distinct_texts(retriever: Retriever, collection: Collection) -> None:
    passages = collection_examples(retriever, collection, CANDIDATES, AttributionSettings(target="norm"))
    assert [example.id for example in passages] == ["p0", "p4", "p1", "p2"]
    queries = collection_examples(retriever, collection, CANDIDATES, AttributionSettings(target="norm", tower="query"))
    assert [example.id for example in queries] == ["q0", "q1", "q2"]


def test_a_limit_draws_the_same_examples_for_every_model(retriever: Retriever, collection: Collection) -> None:
    settings = AttributionSettings(target="score", limit=2, seed=3)
    drawn = [[u.id for u in collection_examples(retriever, collection, CANDIDATES, settings)] for _ in range(2)]
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) == 2


def test_without_negatives_there_is_no_margin(retriever: Retriever, collection: Collection) -> None:
    with pytest.raises(
        AnalysisError,
        match="no judged query has both a relevant passage and a hard negative, as the target 'margin' needs",
    ):
        collection_examples(retriever, collection, CANDIDATES[3:], AttributionSettings(target="margin"))


def test_the_objective_is_the_margin_of_the_intact_retriever(retriever: Retriever, collection: Collection) -> None:
    examples = collection_examples(retriever, collection, CANDIDATES, AttributionSettings(target="margin", negatives=3))
    asked = objective(examples, cosine=False, device=torch.device("cpu"))
    texts = [text for example in examples for text in example.texts]
    pooled = encode_layers(retriever.passage, texts).layers[:, -1]
    values = asked.of_examples(asked.of_texts(retriever.passage, pooled, torch.arange(len(texts))))
    expected = [float(u.others[0] @ (vector(retriever, u.texts[0]) - vector(retriever, u.texts[1]))) for u in examples]
    assert values.tolist() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("margin", {"q0": ("p0", "p1"), "q1": ("p1", "p0")}),
        ("score", {"q0": ("p0",), "q1": ("p1",), "q2": ("p2",)}),
        ("norm", {}),
    ],
)
def test_queries_whose_passages_were_attributed_share_them(
    retriever: Retriever, collection: Collection, target: str, expected: dict[str, tuple[str, ...]]
) -> None:
    """Both margins run p0 and p1: two queries, and fewer than two observations."""
    settings = AttributionSettings(target=target, negatives=1, quadrature="gauss:2")
    examples = collection_examples(retriever, collection, CANDIDATES, settings)
    attribution = attribute_neurons(plan_attribution(retriever.passage, examples, settings))
    assert attribution.scores.passages == expected


def test_a_hub_widens_the_intervals_of_the_neurons(retriever: Retriever, collection: Collection) -> None:
    """40 queries attributed with one of four passages that enter all of their scores."""
    settings = AttributionSettings(target="score", quadrature="gauss:1")
    queries = [Query(f"q{i}", f"{QUERIES['q0']} {i}") for i in range(40)]
    candidates = [Candidates(query.id, f"p{i % 4}", ()) for i, query in enumerate(queries)]
    judged = [Judgment(c.query_id, c.positive) for c in candidates]
    passages = list(collection.passages.values())
    hubs = make_collection("hubs", passages=passages, queries=queries, judgments=judged)
    examples = collection_examples(retriever, hubs, candidates, settings)
    change = attribute_neurons(plan_attribution(retriever.passage, examples, settings)).scores.select(statistic=CHANGE)
    shared, apart = (summarise(s, IntervalSettings(resamples=200)) for s in (change, replace(change, passages={})))
    width, naive = (found["ci_high"] - found["ci_low"] for found in (shared, apart))
    assert float((width / naive).min()) > 1.5
