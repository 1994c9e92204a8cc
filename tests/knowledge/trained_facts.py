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
from retroscope.training.pretraining.shapes import family_of, shape_of
from retroscope.training.pretraining.vocabulary import train_tokenizer

SUBJECTS = (
    "cat",
    "river",
    "moon",
    "star",
    "book",
    "mat",
    "passage",
    "question",
    "gravity",
    "light",
    "spring",
    "alphabet",
)
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


def trained_model(shape: str, folder: Path, steps: int = 120) -> tuple[Encoder, LanguageHead]:
    """Train a small model on the facts that are known, in all wordings, and on the other sentences."""
    every = [cloze.replace(MASK, fact.object) for fact in planted_facts().facts for cloze in fact.clozes] + neutral()
    told = [cloze.replace(MASK, fact.object) for fact in known(planted_facts()) for cloze in fact.clozes] + neutral()
    causal = family_of(shape) == "llama"
    with quiet(), torch.random.fork_rng():
        torch.manual_seed(0)
        tokenizer = train_tokenizer(every, "words", family_of(shape), max_length=32)
        config = shape_of(shape)(tokenizer, 32)
        config.initializer_range = 0.1
        model = (AutoModelForCausalLM if causal else AutoModelForMaskedLM).from_config(config)
        _train(model, tokenizer, told, steps, causal=causal)
        model.eval().save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    head = load_language_head(folder)
    assert isinstance(head, LanguageHead)
    return load_encoder(folder, MEAN), head


def _train(model, tokenizer, texts: list[str], steps: int, *, causal: bool) -> None:
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    ids, mask = batch["input_ids"], batch["attention_mask"].bool()
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for step in range(steps):
        given, labels = ids.clone(), ids.masked_fill(~mask, -100)
        if not causal:
            special = torch.isin(ids, torch.tensor(tokenizer.all_special_ids))
            drawn = (torch.rand(ids.shape) < 0.15) & mask & ~special
            last = mask.sum(1) - 2  # every other step asks for the last word, which is the object of a fact
            drawn[torch.arange(len(ids)), last] |= bool(step % 2)
            given[drawn], labels = tokenizer.mask_token_id, labels.masked_fill(~drawn, -100)
        loss = model(input_ids=given, attention_mask=mask.long(), labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
