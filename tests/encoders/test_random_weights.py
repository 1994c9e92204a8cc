"""A copy with random weights shares everything with its model but the weights."""

from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel, PreTrainedModel

from retroscope.encoders import random_weights
from retroscope.encoders.encode import encode_layers
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder, load_retriever
from retroscope.encoders.random_weights import with_random_weights
from retroscope.encoders.settings import LoadSettings
from toys import TEXTS, TOYS, save_toy


@pytest.mark.parametrize("name", TOYS)
def test_a_copy_has_the_same_architecture_and_other_weights(name: str, tmp_path: Path) -> None:
    encoder = load_encoder(save_toy(name, tmp_path / name), LoadSettings(pooling="mean"))
    copy = with_random_weights(encoder, seed=3)
    ours, theirs = encoder.backbone.state_dict(), copy.backbone.state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}
    assert not any(torch.equal(value, theirs[key]) for key, value in ours.items())
    assert copy.recipe == encoder.recipe
    assert copy.tokenizer is encoder.tokenizer
    assert (copy.anatomy, copy.name) == (encoder.anatomy, f"{name} (random, seed 3)")
    assert not copy.backbone.training
    assert encode_layers(copy, TEXTS).final.isfinite().all()


def test_the_seed_is_all_that_decides(tmp_path: Path) -> None:
    encoder = load_encoder(save_toy("llama", tmp_path / "llama"), LoadSettings(pooling="mean", causal=False))
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = with_random_weights(encoder, 1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert with_random_weights(encoder, 1).fingerprint == first.fingerprint
    assert with_random_weights(encoder, 2).fingerprint != first.fingerprint
    assert first.anatomy.causal is False


def _correlation(one: Encoder, other: Encoder) -> float:
    """Correlation of the largest matrix of two models."""
    matrices = [dict(encoder.backbone.named_parameters()) for encoder in (one, other)]
    name = max(matrices[0], key=lambda n: matrices[0][n].numel())
    first, second = (m[name].detach().flatten() for m in matrices)
    return float(torch.nn.functional.cosine_similarity(first, second, dim=0))


def test_a_copy_is_not_the_model_before_its_own_training(tmp_path: Path) -> None:
    """A seed that seeded the model's training gave the control the model's first weights, which resemble it."""
    folder = save_toy("bert", tmp_path / "bert")
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = BertModel(BertConfig.from_pretrained(folder), add_pooling_layer=False)
        for parameter in model.parameters():  # in the place of a training
            parameter.data += 0.02 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    encoder = load_encoder(folder, LoadSettings(pooling="mean"))
    copies = {seed: with_random_weights(encoder, seed) for seed in (5, 6)}
    assert {seed: abs(_correlation(encoder, copy)) < 0.1 for seed, copy in copies.items()} == {5: True, 6: True}
    assert [len(copies[seed].proof.notes) for seed in (5, 6)] == [2, 1]
    assert "seed 5 gives the weights with which this model's training began" in copies[5].proof.notes[1]
    assert with_random_weights(encoder, 5).fingerprint == copies[5].fingerprint


def test_a_matrix_that_is_not_drawn_relates_no_model_to_its_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fixed position embeddings, as sinusoidal ones, are equal in every copy: it keeps the weights of its seed."""
    encoder = load_encoder(save_toy("bert", tmp_path / "toy"), LoadSettings(pooling="mean"))
    rebuilt = random_weights._rebuilt
    plain = with_random_weights(encoder, 7)
    fixed = encoder.backbone.embeddings.position_embeddings.weight

    def with_fixed_positions(backbone: PreTrainedModel) -> PreTrainedModel:
        drawn = rebuilt(backbone)
        drawn.embeddings.position_embeddings.weight.data.copy_(fixed)
        return drawn

    monkeypatch.setattr(random_weights, "_rebuilt", with_fixed_positions)
    copy = with_random_weights(encoder, 7)
    assert random_weights._relation(encoder.backbone, copy.backbone) > random_weights.UNRELATED
    assert not any("others were drawn" in note for note in copy.proof.notes)
    for part in ("query", "key", "value"):
        name = f"encoder.layer.0.attention.self.{part}.weight"
        assert torch.equal(copy.backbone.get_parameter(name), plain.backbone.get_parameter(name))


def test_shared_towers_stay_shared_and_separate_ones_separate(tmp_path: Path) -> None:
    folder = save_toy("bert", tmp_path / "bert")
    one = with_random_weights(load_retriever(folder, pooling="mean"), 0)
    assert one.query is one.passage
    prompted = with_random_weights(load_retriever(folder, pooling="mean", query_prompt="q: "), 0)
    assert prompted.query is not prompted.passage
    assert prompted.query.backbone is prompted.passage.backbone
    assert (prompted.query.recipe.prompt, prompted.passage.recipe.prompt) == ("q: ", "")
    two = with_random_weights(
        load_retriever(query=folder, passage=save_toy("bert", tmp_path / "b2", seed=1), pooling="mean"), 0
    )
    assert two.query.fingerprint != two.passage.fingerprint
    assert two.name == "bert + b2 (random, seed 0)"


def test_a_learned_head_is_reinitialised(tmp_path: Path) -> None:
    encoder = load_encoder(save_toy("dpr-projected", tmp_path / "dpr"))
    copy = with_random_weights(encoder, 0)
    ours, theirs = encoder.head.state_dict(), copy.head.state_dict()
    assert not any(torch.equal(value, theirs[key]) for key, value in ours.items())
