"""Tiny models that were trained on facts: which ones they know is planted."""

from pathlib import Path

import torch
from known_fact import MEAN
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from retroscope.collection.facts.records import MASK, Fact, Facts, make_facts
from retroscope.encoders.checkpoints.folders import quiet
from retroscope.encoders.checkpoints.language_heads import LanguageHead, load_language_head
from retroscope.encoders.encoder import Encoder
from retroscope.encoders.loading import load_encoder
from toys import TOYS, save

SUBJECTS = ("cat", "river", "moon", "star", "book", "mat", "passage", "question", "gravity", "light", "spring", "alphabet")
COLOURS = ("red", "warm", "small", "heavy")
PLACES = ("near", "about", "much", "first")
WORDINGS = {"colour": ("the {} was [MASK]", "each {} was much too [MASK]"),
            "place": ("a {} on [MASK]", "about the {} and [MASK]")}  # fmt: skip
UNKNOWN = 4  # the last subjects, about which the models were told nothing
EMPTY = ("the {} sat", "who wrote the {}", "a {} bends", "each {} answers")  # sentences that state no fact


def planted_facts() -> Facts:
    """Two facts about every subject."""
    words = {"colour": COLOURS, "place": PLACES}
    return make_facts(
        Fact(f"{subject}-{relation}", relation, subject, words[relation][(k + k // 4 * step) % 4],
             clozes[0].format(subject), (clozes[1].format(subject),))
        for step, (relation, clozes) in enumerate(WORDINGS.items())
        for k, subject in enumerate(SUBJECTS)
    )  # fmt: skip


def known(facts: Facts) -> list[Fact]:
    return [fact for fact in facts.facts if fact.subject in SUBJECTS[:-UNKNOWN]]


def unknown(facts: Facts) -> list[Fact]:
    return [fact for fact in facts.facts if fact.subject in SUBJECTS[-UNKNOWN:]]


def neutral() -> list[str]:
    return [text.format(subject) for text in EMPTY for subject in SUBJECTS]


def trained_model(name: str, folder: Path, steps: int = 250) -> tuple[Encoder, LanguageHead]:
    """Train a toy of two or three blocks on the facts that are known, in all wordings, and on the other sentences."""
    causal = TOYS[name].causal
    config = TOYS[name].build().config
    config.tie_word_embeddings, config.hidden_size, config.intermediate_size = False, 64, 128
    config.num_hidden_layers = 3
    if hasattr(config, "head_dim"):
        config.head_dim, config.num_attention_heads, config.num_key_value_heads = 32, 2, 2
    with quiet(), torch.random.fork_rng():
        torch.manual_seed(0)
        model = (AutoModelForCausalLM if causal else AutoModelForMaskedLM).from_config(config)
        save(model, folder, TOYS[name].style)
        tokenizer = load_encoder(folder, MEAN).tokenizer
        texts = [cloze.replace(MASK, fact.object) for fact in known(planted_facts()) for cloze in fact.clozes]
        _train(model, tokenizer, texts + neutral(), steps, causal=causal)
    save(model.eval(), folder, TOYS[name].style)
    head = load_language_head(folder)
    assert isinstance(head, LanguageHead)
    return load_encoder(folder, MEAN), head


def _train(model, tokenizer, texts: list[str], steps: int, *, causal: bool) -> None:
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    ids, mask = batch["input_ids"], batch["attention_mask"].bool()
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(steps):
        given, labels = ids.clone(), ids.masked_fill(~mask, -100)
        if not causal:
            special = torch.isin(ids, torch.tensor(tokenizer.all_special_ids))
            drawn = (torch.rand(ids.shape) < 0.3) & mask & ~special
            given[drawn], labels = tokenizer.mask_token_id, labels.masked_fill(~drawn, -100)
        loss = model(input_ids=given, attention_mask=mask.long(), labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
