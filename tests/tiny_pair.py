"""A backbone, the retriever fine-tuned from it, and a collection, made on the spot from a seed.

Small enough for tests and yet with something to find: passages and queries name trades and
towns by different words, so words alone do not lead from a query to its passage. Animals and months
have one word, so that BM25 finds passages that look relevant: hard negatives. The backbone has read
the passages only (masked words); the retriever has seen which words go together in training queries,
and is tested on queries about other people.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForMaskedLM, BertModel, PreTrainedTokenizerFast

from retroscope.encoders.checkpoints.folders import quiet
from retroscope.progress import Progress

# (as passages say it, as queries say it)
TRADES = (
    ("doctor", "physician"), ("teacher", "schoolmaster"), ("lawyer", "advocate"), ("baker", "breadmaker"),
    ("sailor", "mariner"), ("farmer", "grower"), ("writer", "novelist"), ("painter", "artist"),
    ("smith", "ironworker"), ("tailor", "clothier"), ("singer", "vocalist"), ("miner", "digger"),
)  # fmt: skip
TOWNS = (
    ("arlen", "harbourtown"), ("boscal", "milltown"), ("cerwick", "hilltown"), ("dorvane", "laketown"),
    ("eskerra", "forttown"), ("fennick", "islandtown"), ("galdor", "marshtown"), ("hestia", "templetown"),
    ("ivarra", "markettown"), ("jorund", "springtown"), ("kelmar", "bridgetown"), ("lorvik", "snowtown"),
)  # fmt: skip
ANIMALS = ("dog", "cat", "horse", "goat", "parrot", "rabbit", "goose", "donkey")
MONTHS = ("january", "march", "april", "june", "july", "august", "october", "november")
NAMES = ("ana", "bela", "cato", "dina", "emil", "fara", "gus", "hana", "igor", "juna", "kurt", "lena")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

PEOPLE = 180
TRAINED = 90  # people whose queries the retriever is trained with; the others are the test
STEPS = {"pre-training": 10, "fine-tuning": 25}
BATCH = 64


@dataclass(frozen=True)
class TinyPair:
    """Folders of what was made."""

    backbone: Path
    retriever: Path
    collection: Path


@dataclass(frozen=True)
class Person:
    """One invented person: a passage, and a query that asks for it in other words."""

    passage: str
    query: str


def people(seed: int) -> list[Person]:
    """`PEOPLE` persons with distinct combinations of trade, town and animal."""
    rng = np.random.default_rng(seed)
    combinations = list(product(TRADES, TOWNS, ANIMALS))
    chosen = rng.choice(len(combinations), size=PEOPLE, replace=False)
    names, months = rng.choice(NAMES, size=PEOPLE), rng.choice(MONTHS, size=PEOPLE)
    built = []
    for index, name, month in zip(chosen, names, months, strict=True):
        trade, town, animal = combinations[int(index)]
        passage = f"{name} is a {trade[0]} who lives in {town[0]} and keeps a {animal} since {month} ."
        query = f"which {trade[1]} of the {town[1]} bought a {animal} in {month}"
        built.append(Person(passage, query))
    return built


def make_tiny_pair(folder: Path, seed: int = 0, progress: Progress | None = None) -> TinyPair:
    """Train the pair and write all three folders below `folder`; the same seed makes the same pair.

    Args:
        folder: created; what it holds of an earlier pair is replaced.
        seed: of text, weights and batches.
        progress: told (stage, steps done, steps in all).
    """
    pair = TinyPair(folder / "backbone", folder / "retriever", folder / "collection")
    everyone = people(seed)
    _write_collection(everyone[TRAINED:], everyone, pair.collection)
    tokenizer = _tokenizer([text for person in everyone for text in (person.passage, person.query)])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = BertForMaskedLM(_shape(len(tokenizer)))
        _pretrain(model, tokenizer, everyone, progress)
        _save(model.bert, tokenizer, pair.backbone)
        _finetune(model.bert, tokenizer, everyone[:TRAINED], progress)
        _save(model.bert, tokenizer, pair.retriever)
    return pair


def _write_collection(tested: Sequence[Person], everyone: Sequence[Person], folder: Path) -> None:
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    corpus = [{"_id": f"p{i}", "title": "", "text": person.passage} for i, person in enumerate(everyone)]
    queries = [{"_id": f"q{i}", "text": person.query} for i, person in enumerate(tested, start=TRAINED)]
    for name, rows in (("corpus", corpus), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    lines = [f"q{i}\tp{i}\t1\n" for i in range(TRAINED, len(everyone))]
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(lines), encoding="utf-8")


def _tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    words = sorted({word for text in texts for word in text.split()})
    vocabulary = {word: i for i, word in enumerate((*SPECIAL, *words))}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.Lowercase()
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    backend.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=32,
    )


def _shape(vocabulary: int) -> BertConfig:
    return BertConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=32,
        attn_implementation="sdpa",
    )


def _pretrain(
    model: BertForMaskedLM, tokenizer: PreTrainedTokenizerFast, everyone: Sequence[Person], progress: Progress | None
) -> None:
    """Masked words (15 %), on the passages alone."""
    texts = [person.passage for person in everyone]

    def loss(chosen: list[int]) -> torch.Tensor:
        batch = tokenizer([texts[i] for i in chosen], padding=True, return_tensors="pt")
        hide = (torch.rand(batch["input_ids"].shape) < 0.15) & (batch["input_ids"] >= len(SPECIAL))
        labels = batch["input_ids"].masked_fill(~hide, -100)
        batch["input_ids"] = batch["input_ids"].masked_fill(hide, tokenizer.mask_token_id)
        output: torch.Tensor = model(**batch, labels=labels).loss
        return output

    _train(model, loss, len(texts), "pre-training", progress)


def _finetune(
    model: BertModel, tokenizer: PreTrainedTokenizerFast, trained: Sequence[Person], progress: Progress | None
) -> None:
    """In-batch contrastive training of mean-pooled cosine similarities, temperature 0.05."""

    def loss(chosen: list[int]) -> torch.Tensor:
        queries = _mean_pooled(model, tokenizer, [trained[i].query for i in chosen])
        passages = _mean_pooled(model, tokenizer, [trained[i].passage for i in chosen])
        return torch.nn.functional.cross_entropy(queries @ passages.T / 0.05, torch.arange(len(chosen)))

    _train(model, loss, len(trained), "fine-tuning", progress)


def _mean_pooled(model: BertModel, tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> torch.Tensor:
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    states = model(**batch).last_hidden_state
    weights = batch["attention_mask"][:, :, None]
    return torch.nn.functional.normalize((states * weights).sum(1) / weights.sum(1), dim=-1)


def _train(
    model: torch.nn.Module,
    loss: Callable[[list[int]], torch.Tensor],
    n_texts: int,
    stage: str,
    progress: Progress | None,
) -> None:
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-4)
    model.train()
    for step in range(STEPS[stage]):
        chosen = torch.randperm(n_texts)[:BATCH].tolist()
        optimiser.zero_grad()
        loss(chosen).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if progress:
            progress(stage, step + 1, STEPS[stage])
    model.eval()


def _save(model: BertModel, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    with quiet():
        model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
