"""Contrastive training: what moves, what is kept, and that every folder is an ordinary one."""

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sentence_transformers import SentenceTransformer

from retroscope.collection.collection import Collection
from retroscope.encoders.encode import final_vectors, tokenise
from retroscope.encoders.loading import load_retriever
from retroscope.errors import SettingsError, TrainingError
from retroscope.training import contrastive
from retroscope.training.contrastive import info_nce, train
from retroscope.training.model import build_model, find_base
from retroscope.training.pairs import training_pairs
from retroscope.training.settings import TrainingSettings
from retroscope.training.strategies import STRATEGIES, moving, set_trainable

QUICK = {"steps": 6, "batch_size": 8, "learning_rate": 1e-2, "evaluations": 3}
MOVES = {
    "full": lambda name: ".pooler." not in name,
    "lora": lambda name: "lora_" in name,
    "head": lambda name: name.startswith("2.linear"),
    "bitfit": lambda name: name.endswith("bias") and ".pooler." not in name,
    "norms": lambda name: "LayerNorm" in name,
}


def fresh(toy: Callable, folder: Path, name: str = "bert", settings: TrainingSettings | None = None, **options):
    """A model to train, the settings, and where checkpoints go."""
    settings = settings or TrainingSettings(**QUICK)
    source, backbone = toy(name, **options)
    return (
        build_model(backbone, find_base(backbone, str(source), folder, settings, altered=False), settings),
        settings,
        folder / "checkpoints",
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_strategy_moves_its_weights_and_no_others(
    toy: Callable, pairs_of: Callable[..., Collection], tmp_path: Path, strategy: str
) -> None:
    model, settings, folder = fresh(toy, tmp_path, settings=TrainingSettings(strategy=strategy, **QUICK))
    if strategy == "lora":  # its weights do not exist before
        before = {}
    else:
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    trained = train(model, training_pairs(pairs_of(24)), settings, folder)
    after = dict(trained.model.named_parameters())
    assert {name for name, p in after.items() if p.requires_grad} == {name for name in after if MOVES[strategy](name)}
    moved = {name for name in before if not torch.equal(before[name], trained.model.state_dict()[name])}
    assert {name for name in before if not MOVES[strategy](name)}.isdisjoint(moved)
    assert strategy == "lora" or moved
    assert 0 < moving(model)[0] <= moving(model)[1]
    assert trained.steps == 6


def test_what_has_nothing_to_train_says_so(toy: Callable, pairs_of: Callable[..., Collection], tmp_path: Path) -> None:
    model, settings, folder = fresh(toy, tmp_path, "llama", TrainingSettings(strategy="bitfit", **QUICK))
    with pytest.raises(TrainingError, match="'bitfit' has no weights to train in this model"):
        train(model, training_pairs(pairs_of(24)), settings, folder)


def test_the_head_begins_as_the_identity(toy: Callable, tmp_path: Path) -> None:
    plain, _, _ = fresh(toy, tmp_path / "a")
    headed, _, _ = fresh(toy, tmp_path / "b", settings=TrainingSettings(strategy="head", **QUICK))
    texts = ["The river floods", "a cat"]
    torch.testing.assert_close(
        headed.encode_query(texts, convert_to_tensor=True), plain.encode_query(texts, convert_to_tensor=True)
    )


def test_the_loss_falls_and_the_same_seed_gives_the_same_weights(
    toy: Callable, pairs_of: Callable[..., Collection], tmp_path: Path
) -> None:
    states = []
    for name in "ab":
        model, settings, folder = fresh(toy, tmp_path / name, settings=TrainingSettings(**QUICK | {"steps": 80}))
        trained = train(model, training_pairs(pairs_of(24)), settings, folder)
        losses = [row["loss"] for row in trained.curve if "loss" in row]
        assert sum(losses[-5:]) < 0.8 * sum(losses[:5])
        states.append(trained.model.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.parametrize("strategy", ["full", "lora"])
def test_interrupted_and_resumed_equals_uninterrupted(
    toy: Callable, pairs_of: Callable[..., Collection], tmp_path: Path, strategy: str
) -> None:
    chosen = TrainingSettings(strategy=strategy, **QUICK | {"steps": 9})
    pairs = training_pairs(pairs_of(24))
    model, settings, folder = fresh(toy, tmp_path / "whole", settings=chosen)
    whole = train(model, pairs, settings, folder).model.state_dict()

    def interrupt(what: str, done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    model, settings, folder = fresh(toy, tmp_path / "cut", settings=chosen)
    with pytest.raises(KeyboardInterrupt):
        train(model, pairs, settings, folder, progress=interrupt)
    (folder / "checkpoint-4").mkdir()  # as a process leaves it that is killed while it writes
    progress_calls = []
    model, settings, _ = fresh(toy, tmp_path / "again", settings=chosen)
    trained = train(model, pairs, settings, folder, progress=lambda *step: progress_calls.append(step))
    assert progress_calls[0] == ("training", 4, 9)
    assert all(torch.equal(whole[key], trained.model.state_dict()[key]) for key in whole)


def test_the_checkpoint_that_is_best_on_held_out_queries_is_kept(
    toy: Callable, pairs_of: Callable[..., Collection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states, scores = [], iter([0.2, 0.5, 0.1])

    class Scripted(contrastive.InformationRetrievalEvaluator):
        def __call__(self, model, *args, **kwargs):
            states.append({name: tensor.clone() for name, tensor in model.state_dict().items()})
            return {"dev_cosine_ndcg@10": next(scores)}

    monkeypatch.setattr(contrastive, "InformationRetrievalEvaluator", Scripted)
    model, settings, folder = fresh(toy, tmp_path)
    trained = train(model, training_pairs(pairs_of(24)), settings, folder, dev=pairs_of(8, first=24))
    assert len(states) == 3
    assert not all(torch.equal(states[1][key], states[2][key]) for key in states[1])
    assert all(torch.equal(states[1][key], trained.model.state_dict()[key]) for key in states[1])
    assert [row["eval_dev_cosine_ndcg@10"] for row in trained.curve if "eval_dev_cosine_ndcg@10" in row] == [
        0.2,
        0.5,
        0.1,
    ]


def test_it_stops_when_held_out_queries_gain_no_more(
    toy: Callable, pairs_of: Callable[..., Collection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.5, 0.4, 0.3, 0.2, 0.1])
    monkeypatch.setattr(
        contrastive.InformationRetrievalEvaluator, "__call__", lambda *_, **__: {"dev_cosine_ndcg@10": next(scores)}
    )
    settings = TrainingSettings(**QUICK | {"steps": 20, "evaluations": 10, "patience": 2})
    model, settings, folder = fresh(toy, tmp_path, settings=settings)
    assert train(model, training_pairs(pairs_of(24)), settings, folder, dev=pairs_of(8, first=24)).steps == 6


@pytest.mark.parametrize(
    ("measured", "kept", "chosen"),
    [
        ({2: 0.1, 4: 0.5, 6: 0.2}, {4, 6}, 4),
        ({2: 0.0, 4: 0.0, 6: 0.0}, {2, 6}, 6),
        ({2: 0.1, 4: 0.5, 6: 0.5, 8: 0.4}, {4, 8}, 4),
    ],
)
def test_of_equals_the_latest_that_is_kept(measured: dict, kept: set, chosen: int) -> None:
    """The first of equals would be a model hardly trained, where the held-out queries tell nothing."""
    assert contrastive.best_step(measured, kept) == chosen


def test_held_out_queries_that_tell_nothing_choose_the_last(
    toy: Callable, pairs_of: Callable[..., Collection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        contrastive.InformationRetrievalEvaluator, "__call__", lambda *_, **__: {"dev_cosine_ndcg@10": 0.0}
    )
    model, settings, folder = fresh(toy, tmp_path)
    trained = train(model, training_pairs(pairs_of(24)), settings, folder, dev=pairs_of(8, first=24))
    assert (trained.steps, trained.chosen, trained.tied) == (6, 6, True)


def test_patience_is_not_forgotten_by_an_interruption(
    toy: Callable, pairs_of: Callable[..., Collection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([0.5, 0.4, 0.3, 0.2, 0.1])
    monkeypatch.setattr(
        contrastive.InformationRetrievalEvaluator, "__call__", lambda *_, **__: {"dev_cosine_ndcg@10": next(scores)}
    )
    chosen = TrainingSettings(**QUICK | {"steps": 20, "evaluations": 10, "patience": 2})

    def interrupt(what: str, done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    pairs, dev = training_pairs(pairs_of(24)), pairs_of(8, first=24)
    model, settings, folder = fresh(toy, tmp_path / "cut", settings=chosen)
    with pytest.raises(KeyboardInterrupt):
        train(model, pairs, settings, folder, dev=dev, progress=interrupt)
    model, settings, _ = fresh(toy, tmp_path / "again", settings=chosen)
    assert train(model, pairs, settings, folder, dev=dev).steps == 6


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_checkpoint(
    toy: Callable, pairs_of: Callable[..., Collection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward, calls = contrastive.MultipleNegativesRankingLoss.forward, iter(range(100))
    monkeypatch.setattr(
        contrastive.MultipleNegativesRankingLoss,
        "forward",
        lambda *given: forward(*given) * (float("nan") if next(calls) == 3 else 1.0),
    )
    model, settings, folder = fresh(toy, tmp_path)
    with pytest.raises(
        TrainingError,
        match=r"the training loss is not a finite number \(nan\) before step 4.*\n  fix: lower the learning rate",
    ):
        train(model, training_pairs(pairs_of(24)), settings, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint-2"]
    kept = SentenceTransformer(str(folder / "checkpoint-2"))
    assert all(torch.isfinite(tensor).all() for tensor in kept.state_dict().values())


def test_a_full_disk_says_so(
    toy: Callable, pairs_of: Callable[..., Collection], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(SentenceTransformer, "save_pretrained", full)
    model, settings, folder = fresh(toy, tmp_path)
    with pytest.raises(SettingsError, match=r"the disk is full\n  fix: free some space and repeat"):
        train(model, training_pairs(pairs_of(24)), settings, folder)


def test_a_batch_in_parts_has_the_gradient_of_the_whole(
    toy: Callable, pairs_of: Callable[..., Collection], tmp_path: Path
) -> None:
    pairs, rows = training_pairs(pairs_of(8)), []
    for mini in (None, 3):
        settings = TrainingSettings(**QUICK, mini_batch=mini)
        model, settings, _ = fresh(toy, tmp_path / str(mini), settings=settings)
        set_trainable(model, settings)  # in evaluation mode: dropout would draw other masks for the parts
        features = [model.preprocess(list(texts)) for texts in (pairs.queries, pairs.positives)]
        loss = info_nce(model, settings)(features, None)
        loss.backward()
        rows.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    whole, parts = rows
    assert whole.keys() == parts.keys()
    largest = max(gradient.abs().max() for gradient in whole.values())
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, rtol=1e-4, atol=1e-6 * float(largest))


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_pairs(toy: Callable, pairs_of: Callable[..., Collection], tmp_path: Path, n: int) -> None:
    pairs = training_pairs(pairs_of(2))
    few = type(pairs)(pairs.queries[:n], pairs.positives[:n])
    model, settings, folder = fresh(toy, tmp_path)
    with pytest.raises(TrainingError, match=f"training needs at least 2 pairs, but there are {n}"):
        train(model, few, settings, folder)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"strategy": "lorra"}, "did you mean 'lora'"),
        ({"precision": "fp8"}, "unknown precision"),
        ({"batch_size": 1}, "at least 2"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"hard_negatives": -1}, "hard_negatives is -1, which is out of range\n  fix: give at least 0"),
    ],
)
def test_wrong_settings(wrong: dict, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        TrainingSettings(**wrong)


def test_hard_negatives_and_two_towers_train(
    toy: Callable, pairs_of: Callable[..., Collection], tmp_path: Path
) -> None:
    settings = TrainingSettings(**QUICK, two_towers=True, hard_negatives=1)
    model, settings, folder = fresh(toy, tmp_path, settings=settings)
    trained = train(model, training_pairs(pairs_of(24), 1), settings, folder).model
    query, document = (trained.encode_query(["a cat"]), trained.encode_document(["a cat"]))
    assert abs(query - document).max() > 1e-3
    trained.save_pretrained(str(tmp_path / "saved"))
    loaded = load_retriever(tmp_path / "saved")
    for tower, wanted in (("query", query), ("passage", document)):
        encoder = loaded.tower(tower)
        torch.testing.assert_close(
            final_vectors(encoder, tokenise(encoder, ["a cat"])), torch.from_numpy(wanted), atol=1e-5, rtol=1e-5
        )
