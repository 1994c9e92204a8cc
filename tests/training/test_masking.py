"""What is judged relevant is never a negative; where nothing is masked, nothing changes, to the byte."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Candidates, Judgment, Passage, Query
from retroscope.training.contrastive import info_nce, train
from retroscope.training.masking import relevance_of_rows
from retroscope.training.model import build_model, find_base
from retroscope.training.pairs import Pairs, training_pairs
from retroscope.training.settings import TEMPERATURES, TrainingSettings

QUICK = {"steps": 6, "batch_size": 8, "learning_rate": 1e-2, "evaluations": 3}


@pytest.fixture
def sharing() -> Collection:
    """Query a: p1, p2. Query b: p2, p3. Query c: p4 alone."""
    passages = [
        Passage(f"p{i}", f"the {word} is here") for i, word in enumerate(["river", "bridge", "mill", "cat", "red"])
    ]
    queries = [Query("a", "where is the river"), Query("b", "where is the mill"), Query("c", "where is the cat")]
    pairs = {"a": ["p0", "p1"], "b": ["p1", "p2"], "c": ["p3"]}
    judgments = [Judgment(q, p) for q, value in pairs.items() for p in value] + [Judgment("c", "p4", 0)]
    given = [Candidates(j.query_id, j.passage_id, ("p4", "p3" if j.query_id != "c" else "p0")) for j in judgments[:-1]]
    return make_collection("sharing", passages, queries, judgments, given)


def brute(pairs: Pairs, collection: Collection, rows: list[int]) -> torch.Tensor:
    """The mask by its definition, from the judgments."""
    query_of = {q.text: q.id for q in collection.queries.values()}
    passage_of = {p.text: p.id for p in collection.passages.values()}
    columns = (pairs.positives, *pairs.negatives)
    return torch.tensor([
        [
            collection.qrels[query_of[pairs.queries[i]]].get(passage_of[column[j]], 0) > 0 and not (k == 0 and i == j)
            for k, column in enumerate(columns)
            for j in rows
        ]
        for i in rows
    ])  # fmt: skip


@pytest.mark.parametrize("negatives", [0, 2])
@pytest.mark.parametrize("rows", [[0, 2], [0, 3, 4], [4, 3, 1], [2, 0, 4]], ids=str)
def test_the_mask_is_what_the_judgments_say(sharing: Collection, rows: list[int], negatives: int) -> None:
    pairs = training_pairs(sharing, negatives, "given")
    assert pairs.relevance is not None
    mask = pairs.relevance.mask(rows)
    assert torch.equal(mask, brute(pairs, sharing, rows))
    assert not mask.diagonal().any()


def test_rows_with_false_negatives_are_counted(sharing: Collection) -> None:
    pairs = training_pairs(sharing).relevance
    assert pairs is not None
    assert pairs.rows_with_false_negatives == 2  # (a, p0) beside (b, p1), and (b, p2) beside (a, p1)


def test_a_collection_without_shared_passages_has_nothing_to_mask(pairs_of: Callable[..., Collection]) -> None:
    pairs = training_pairs(pairs_of(24))
    assert pairs.relevance is None
    assert pairs.fingerprint == replace(pairs, relevant={}).fingerprint


def test_several_positives_of_one_query_never_meet_in_a_batch() -> None:
    relevance = relevance_of_rows(["a", "a", "b"], [["x", "y", "z"]], {"a": ["x", "y"], "b": ["z"]})
    assert relevance.rows_with_false_negatives == 0


@pytest.mark.parametrize("spelling", ["Who  is ann ", "ｗｈｏ is Ann"])
def test_queries_that_differ_in_spelling_only_share_their_relevant_passages(spelling: str) -> None:
    """Their texts are not equal, so that they may meet in a batch: neither's passage is the other's negative."""
    relevance = relevance_of_rows(["who is Ann", spelling], [["x", "y"]], {"who is Ann": ["x"], spelling: ["y"]})
    assert relevance.mask([0, 1]).tolist() == [[False, True], [True, False]]
    assert relevance.rows_with_false_negatives == 2


def test_passages_that_differ_in_spelling_only_are_one() -> None:
    relevance = relevance_of_rows(["a", "b"], [["cafe\u0301", "Café"]], {"a": ["cafe\u0301"], "b": ["Café"]})
    assert relevance.mask([0, 1]).tolist() == [[False, True], [True, False]]
    assert relevance.rows_with_false_negatives == 2


def test_a_hard_negative_that_is_relevant_to_the_same_text_is_masked() -> None:
    """The source gives the passage of one query as the negative of another one with its text."""
    collection = make_collection(
        "repeated",
        [Passage(i, f"text {i}") for i in "xyz"],
        [Query("a", "one question"), Query("b", "one question")],
        [Judgment("a", "x"), Judgment("b", "y")],
        [Candidates("a", "x", ("y",)), Candidates("b", "y", ("z",))],
    )
    relevance = training_pairs(collection, 1, "given").relevance
    assert relevance is not None
    assert relevance.rows_with_false_negatives == 1
    assert relevance.mask([0]).tolist() == [[False, True]]


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("mini_batch", [None, 1, 2, 3])
@pytest.mark.parametrize("negatives", [0, 2])
def test_the_loss_leaves_masked_scores_out(
    toy: Callable, sharing: Collection, tmp_path: Path, similarity: str, mini_batch: int | None, negatives: int
) -> None:
    """By InfoNCE's formula, with the masked passages struck out of the sum; GradCache gives the same."""
    settings = TrainingSettings(mini_batch=mini_batch)
    source, backbone = toy("bert", similarity=similarity)
    model = build_model(backbone, find_base(backbone, str(source), tmp_path, settings, altered=False), settings).eval()
    pairs, rows = training_pairs(sharing, negatives, "given"), [0, 2, 4]
    texts = [[column[i] for i in rows] for column in (pairs.queries, pairs.positives, *pairs.negatives)]
    features = [model.preprocess(column) for column in texts]
    found = info_nce(model, settings, pairs.relevance)(features, torch.tensor(rows))
    vectors = [model(model.preprocess(column))["sentence_embedding"] for column in texts]
    queries, passages = vectors[0], torch.cat(vectors[1:])
    if similarity == "cosine":
        queries, passages = (torch.nn.functional.normalize(v, dim=-1) for v in (queries, passages))
    scores = queries @ passages.T / TEMPERATURES[similarity]
    kept = ~brute(pairs, sharing, rows)
    expected = -torch.stack([s[i] - s[kept[i]].logsumexp(0) for i, s in enumerate(scores)]).mean()
    torch.testing.assert_close(found.detach(), expected.detach(), rtol=1e-5, atol=1e-6)
    plain = info_nce(model, settings)([model.preprocess(column) for column in texts], torch.tensor(rows))
    assert float(plain.detach()) > float(found.detach()) + 1e-3  # the control: what is not masked is in the sum


def test_a_masked_training_runs_and_says_so(toy: Callable, sharing: Collection, tmp_path: Path) -> None:
    settings = TrainingSettings(**QUICK | {"batch_size": 3})
    source, backbone = toy("bert")
    states = []
    for masked in (True, False):
        base = find_base(backbone, str(source), tmp_path / str(masked), settings, altered=False)
        pairs = training_pairs(sharing)
        pairs = pairs if masked else replace(pairs, relevant={})
        trained = train(build_model(backbone, base, settings), pairs, settings, tmp_path / str(masked) / "checkpoints")
        states.append(trained.model.state_dict())
    assert any(not torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_temperature_goes_by_the_similarity_unless_it_is_set() -> None:
    assert {s: TrainingSettings().temperature_for(s) for s in TEMPERATURES} == {"cosine": 0.05, "dot": 1.0}
    assert {TrainingSettings(temperature=0.2).temperature_for(s) for s in TEMPERATURES} == {0.2}


def test_where_nothing_is_masked_the_bytes_are_those_of_the_plain_loss(
    toy: Callable, pairs_of: Callable[..., Collection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trainer as it was: pairs without judgments, the library's own loss at temperature .05."""
    digests = []
    for name in ("now", "before"):
        settings = TrainingSettings(**QUICK)
        source, backbone = toy("bert")
        base = find_base(backbone, str(source), tmp_path / name, settings, altered=False)
        pairs = training_pairs(pairs_of(24))
        if name == "before":
            pairs = Pairs(pairs.queries, pairs.positives)
            plain = lambda model, *_: MultipleNegativesRankingLoss(model, scale=1 / 0.05)  # noqa: E731
            monkeypatch.setattr("retroscope.training.contrastive.info_nce", plain)
        trained = train(build_model(backbone, base, settings), pairs, settings, tmp_path / name / "checkpoints")
        save_file({k: v.contiguous() for k, v in trained.model.state_dict().items()}, tmp_path / f"{name}.safetensors")
        digests.append(hashlib.sha256((tmp_path / f"{name}.safetensors").read_bytes()).hexdigest())
    assert digests[0] == digests[1]
