"""The twin has the body of its model and none of its memory."""

from pathlib import Path

import pytest
import torch

from retroscope.encoders.encode import encode_layers
from retroscope.encoders.loading import load_encoder, load_retriever
from retroscope.encoders.settings import LoadSettings
from retroscope.encoders.twin import random_twin
from toys import TEXTS, TOYS, save_toy


@pytest.mark.parametrize("name", TOYS)
def test_a_twin_has_the_same_body_and_other_weights(name: str, tmp_path: Path) -> None:
    encoder = load_encoder(save_toy(name, tmp_path / name), LoadSettings(pooling="mean"))
    twin = random_twin(encoder, seed=3)
    ours, theirs = encoder.backbone.state_dict(), twin.backbone.state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}
    assert not any(torch.equal(value, theirs[key]) for key, value in ours.items())
    assert twin.recipe == encoder.recipe
    assert twin.tokenizer is encoder.tokenizer
    assert (twin.anatomy, twin.name) == (encoder.anatomy, f"{name} (random, seed 3)")
    assert not twin.backbone.training
    assert encode_layers(twin, TEXTS).final.isfinite().all()


def test_the_seed_is_all_that_decides(tmp_path: Path) -> None:
    encoder = load_encoder(save_toy("llama", tmp_path / "llama"), LoadSettings(pooling="mean", causal=False))
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = random_twin(encoder, 1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert random_twin(encoder, 1).fingerprint == first.fingerprint
    assert random_twin(encoder, 2).fingerprint != first.fingerprint
    assert first.anatomy.causal is False


def test_shared_towers_stay_shared_and_separate_ones_separate(tmp_path: Path) -> None:
    folder = save_toy("bert", tmp_path / "bert")
    one = random_twin(load_retriever(folder, pooling="mean"), 0)
    assert one.query is one.passage
    prompted = random_twin(load_retriever(folder, pooling="mean", query_prompt="q: "), 0)
    assert prompted.query is not prompted.passage
    assert prompted.query.backbone is prompted.passage.backbone
    assert (prompted.query.recipe.prompt, prompted.passage.recipe.prompt) == ("q: ", "")
    two = random_twin(
        load_retriever(query=folder, passage=save_toy("bert", tmp_path / "b2", seed=1), pooling="mean"), 0
    )
    assert two.query.fingerprint != two.passage.fingerprint
    assert two.name == "bert + b2 (random, seed 0)"


def test_a_learned_head_is_redrawn(tmp_path: Path) -> None:
    encoder = load_encoder(save_toy("dpr-projected", tmp_path / "dpr"))
    twin = random_twin(encoder, 0)
    ours, theirs = encoder.head.state_dict(), twin.head.state_dict()
    assert not any(torch.equal(value, theirs[key]) for key, value in ours.items())
