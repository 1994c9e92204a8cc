"""Edits of the shipped backbone: facts are added and removed, paraphrases follow, other facts stay."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from retroscope.collection.facts.records import Fact
from retroscope.collection.world.facts import facts_of_world
from retroscope.collection.world.world import make_world
from retroscope.encoders.checkpoints.language_heads import LanguageHead, load_language_head
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder
from retroscope.encoders.settings import LoadSettings
from retroscope.errors import AnalysisError, SettingsError
from retroscope.knowledge.editing.editors import EDIT, Editable, editable, keys, rank_one, value_of
from retroscope.knowledge.editing.effects import EditState, edit_state
from retroscope.knowledge.editing.prompts import prompt_of
from retroscope.knowledge.editing.settings import EditSettings
from retroscope.knowledge.neutral import neutral_places
from retroscope.knowledge.settings import ReadoutSettings
from retroscope.study.demo import LOAD, WORLD, shipped
from toys import tokenizer

READOUT = ReadoutSettings(positions=2000, held_out=100)


@pytest.fixture(scope="module")
def backbone() -> tuple[Encoder, LanguageHead]:
    head = load_language_head(shipped().backbone)
    assert isinstance(head, LanguageHead)
    return load_encoder(shipped().backbone, LOAD), head


@pytest.fixture(scope="module")
def facts() -> tuple[Fact, ...]:
    """Trades of 40 known and 40 unknown held-out people."""
    every = [fact for fact in facts_of_world(make_world(WORLD)).facts if fact.relation == "trade"]
    return tuple(
        fact for name in ("known-held-out", "unknown-held-out") for fact in [f for f in every if f.stratum == name][:40]
    )


@pytest.fixture(scope="module")
def text(backbone: tuple[Encoder, LanguageHead]):
    passages = [passage.text for passage in make_world(WORLD).passages]
    inputs, targets, _ = neutral_places(backbone[0].tokenizer, "masked", passages, READOUT)
    return inputs, targets


def opened(backbone: tuple[Encoder, LanguageHead], text, settings: EditSettings) -> Editable:
    """The backbone in a copy of its own."""
    encoder, head = backbone
    mine = replace(encoder, backbone=copy.deepcopy(encoder.backbone))
    return editable(mine, head, text[0], settings)


def edited(
    backbone, text, facts, chosen: list[Fact], settings: EditSettings, *, add: bool
) -> tuple[EditState, EditState]:
    model = opened(backbone, text, settings)
    before = edit_state(model.encoder, model.head, facts, chosen, text)
    EDIT[settings.editor](model, [prompt_of(model.encoder.tokenizer, "masked", f) for f in chosen], settings, add=add)
    return before, edit_state(model.encoder, model.head, facts, chosen, text)


def test_rank_one_update_gives_the_value_at_the_key_and_has_rank_one(backbone, text, facts) -> None:
    settings = EditSettings(layer=2)
    model = opened(backbone, text, settings)
    prompt = prompt_of(model.encoder.tokenizer, "masked", facts[-1])
    key = keys(model.encoder, model.module, prompt.ids)[prompt.subject]
    first, wanted = model.matrix.clone(), value_of(model, prompt, settings, add=True)
    rank_one(model, [prompt], settings, add=True)
    change = model.matrix - first
    torch.testing.assert_close(change @ key, wanted, rtol=1e-3, atol=1e-4)
    assert torch.linalg.matrix_rank(change, rtol=1e-4) == 1
    direction = torch.linalg.solve(model.covariance, key)
    by_hand = torch.outer(wanted, direction) / (direction @ key)
    torch.testing.assert_close(change, by_hand, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("editor", ["rank-one", "many", "fine-tuning"])
def test_unknown_facts_are_added_and_others_stay(editor: str, backbone, text, facts) -> None:
    chosen = [fact for fact in facts if fact.stratum.startswith("unknown")][:4]
    before, after = edited(backbone, text, facts, chosen, EditSettings(editor=editor, layer=2), add=True)
    assert before.reliability < 0.3
    assert after.reliability >= 0.75
    assert after.log_p > before.log_p + 1
    assert after.locality > 0.6 * before.locality
    assert after.loss < before.loss + 0.5


@pytest.mark.parametrize("editor", ["rank-one", "many", "fine-tuning", "neurons"])
def test_known_facts_are_removed_and_others_stay(editor: str, backbone, text, facts) -> None:
    head = backbone[1]
    read = [f for f in facts if f.stratum.startswith("known")]
    single = [edit_state(backbone[0], head, facts, [f], text).reliability for f in read[:16]]
    chosen = [fact for fact, hit in zip(read, single, strict=False) if hit == 1][:4]
    assert len(chosen) == 4
    layer = 3 if editor == "neurons" else 2
    before, after = edited(backbone, text, facts, chosen, EditSettings(editor=editor, layer=layer), add=False)
    assert before.reliability == 1
    assert after.reliability <= 0.5
    assert after.locality > 0.5 * before.locality


def test_a_rank_one_edit_reaches_paraphrases(backbone, text, facts) -> None:
    chosen = [fact for fact in facts if fact.stratum.startswith("unknown")][:4]
    before, after = edited(backbone, text, facts, chosen, EditSettings(layer=1), add=True)
    assert after.generality > before.generality + 0.25


def test_the_subject_is_found_wherever_it_stands() -> None:
    tokens = tokenizer("llama")
    fact = Fact("a", "r", "cat", "red", "the cat on a mat was [MASK].")
    prompt = prompt_of(tokens, "causal", fact)
    assert "cat".endswith(tokens.decode(prompt.ids[prompt.subject]).replace("▁", "").strip())
    assert prompt.at[0] == len(prompt.ids) - len(prompt.tokens)
    with pytest.raises(AnalysisError, match="subject after the object"):
        prompt_of(tokens, "causal", replace(fact, cloze="[MASK] was the cat"))
    late = prompt_of(tokenizer("bert"), "masked", replace(fact, cloze="[MASK] was the cat"))
    assert late.subject > late.at[-1]


def test_refusals(backbone, text, facts) -> None:
    with pytest.raises(SettingsError, match="layer is 9"):
        opened(backbone, text, EditSettings(layer=9))
    with pytest.raises(SettingsError, match="unknown editor 'surgery'"):
        EditSettings(editor="surgery")
    with pytest.raises(SettingsError, match="adds no facts"):
        edited(backbone, text, facts, list(facts[:1]), EditSettings(editor="neurons"), add=True)


def test_a_decoder_is_edited_too(tmp_path: Path) -> None:
    from known_fact import MEAN, colour_facts, random_model

    random_model("llama", tmp_path / "llama")
    head = load_language_head(tmp_path / "llama")
    assert isinstance(head, LanguageHead)
    encoder = load_encoder(tmp_path / "llama", LoadSettings(**vars(MEAN)))
    facts = colour_facts().facts
    inputs, targets, _ = neutral_places(
        encoder.tokenizer, "causal", [f.cloze.replace("[MASK]", f.object) for f in facts] * 20, READOUT
    )
    model = editable(encoder, head, inputs, EditSettings(layer=1))
    before = edit_state(encoder, head, facts, facts[:1], (inputs, targets))
    rank_one(model, [prompt_of(encoder.tokenizer, "causal", facts[0])], EditSettings(layer=1), add=True)
    after = edit_state(encoder, head, facts, facts[:1], (inputs, targets))
    assert after.log_p > before.log_p + 1
