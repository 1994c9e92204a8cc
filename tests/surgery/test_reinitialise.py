"""Exactly the named parts are re-initialised."""

from pathlib import Path

import pytest
import torch

from retroscope.encoders.encode import encode_layers
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.encoders.random_weights import with_random_weights
from retroscope.errors import SettingsError
from retroscope.surgery.reinitialise import reinitialise
from toys import TEXTS, TOYS, save_toy


def toy(name: str, folder: Path) -> Retriever:
    return load_retriever(save_toy(name, folder / name), pooling="mean", similarity="cosine")


def changed(before: Retriever, after: Retriever) -> set[str]:
    theirs = dict(after.passage.backbone.named_parameters())
    return {n for n, value in before.passage.backbone.named_parameters() if not torch.equal(value, theirs[n])}


@pytest.mark.parametrize("name", TOYS)
def test_each_part_is_drawn_and_the_rest_is_left(name: str, tmp_path: Path) -> None:
    before = toy(name, tmp_path)
    anatomy = before.passage.anatomy
    every = {n for n, _ in before.passage.backbone.named_parameters()}
    meant = {
        "embeddings": {n for n in every if anatomy.part_of(n) == (None, "embedding")},
        "attention": {n for n in every if anatomy.part_of(n)[1] == "attention"},
        "ffn": {n for n in every if anatomy.part_of(n)[1].startswith("ffn")},
        "norms": {n for n in every if anatomy.part_of(n)[1] in ("norm", "final_norm")},
        "top:1": {n for n in every if anatomy.part_of(n)[0] == anatomy.n_blocks - 1},
        "bottom:1": {n for n in every if anatomy.part_of(n)[0] == 0},
        "all": every,
    }
    for part, names in meant.items():
        after = reinitialise(before, (part,), seed=1)
        assert names, part
        assert changed(before, after) == names, part
        assert encode_layers(after.passage, TEXTS).final.isfinite().all()


def test_the_weights_of_the_same_bare_seed_are_others(tmp_path: Path) -> None:
    """A backbone pre-trained under seed 5 began with the random weights of seed 5, which would be rewinding."""
    before = toy("bert", tmp_path)
    random, drawn = with_random_weights(before, 5), reinitialise(before, ("all",), 5)
    ours, theirs = (dict(r.passage.backbone.named_parameters()) for r in (drawn, random))
    matrices = [name for name, value in ours.items() if value.ndim > 1]
    assert matrices
    for name in matrices:
        cosine = torch.nn.functional.cosine_similarity(ours[name].flatten(), theirs[name].flatten(), dim=0)
        assert abs(float(cosine)) < 5 / ours[name].numel() ** 0.5, "five standard errors of unrelated weights"


def test_parts_add_up_and_the_seed_alone_decides(tmp_path: Path) -> None:
    before = toy("llama", tmp_path)
    fingerprint, state = before.passage.fingerprint, torch.get_rng_state()
    both = reinitialise(before, ("attention", "top:1"), 1)
    one, other = reinitialise(before, ("attention",), 1), reinitialise(before, ("top:1",), 1)
    assert changed(before, both) == changed(before, one) | changed(before, other)
    own, ones = dict(both.passage.backbone.named_parameters()), dict(one.passage.backbone.named_parameters())
    assert all(torch.equal(own[name], ones[name]) for name in changed(before, one))
    assert reinitialise(before, ("attention",), 1).passage.fingerprint == one.passage.fingerprint
    assert changed(reinitialise(before, ("attention",), 2), one) == changed(before, one)
    assert torch.equal(torch.get_rng_state(), state)
    del before.passage.__dict__["fingerprint"]
    assert before.passage.fingerprint == fingerprint, "the original is left alone"


def test_lifted_causality_stays_lifted(tmp_path: Path) -> None:
    both_ways = load_retriever(save_toy("llama", tmp_path / "llama"), pooling="mean", similarity="dot", causal=False)
    assert reinitialise(both_ways, ("ffn",), 0).passage.anatomy.causal is False


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("atention", "did you mean 'attention'"),
        ("top", "unknown part 'top'"),
        ("top:3", "'top:3' names 3 blocks, but the model has 2 blocks"),
        ("bottom:0", "name at least one block, e.g. bottom:1"),
    ],
)
def test_words_that_name_nothing(part: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=said):
        reinitialise(toy("bert", tmp_path), (part,), 0)


def test_towers_with_weights_of_their_own_are_refused(tmp_path: Path) -> None:
    query, passage = save_toy("bert", tmp_path / "q"), save_toy("bert", tmp_path / "p")
    two = load_retriever(query=query, passage=passage, pooling="mean", similarity="dot")
    with pytest.raises(SettingsError, match="do not share their weights"):
        reinitialise(two, ("all",), 0)
