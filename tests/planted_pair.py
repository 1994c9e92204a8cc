"""A pair of which one matrix differs, and a collection that any encoder of words can search."""

from pathlib import Path

import numpy as np
import torch

from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from toys import CORPUS, save_toy


def make_halves() -> Collection:
    """Return 150 queries that are half of their passage."""
    words, rng = np.array([word for text in CORPUS for word in text.split()]), np.random.default_rng(0)
    texts = [rng.choice(words, 6, replace=False) for _ in range(150)]
    passages = [Passage(f"p{i}", " ".join(text)) for i, text in enumerate(texts)]
    queries = [Query(f"q{i}", " ".join(text[:3])) for i, text in enumerate(texts)]
    return make_collection("toy", passages, queries, [Judgment(q.id, f"p{q.id[1:]}") for q in queries])


def make_planted(folder: Path) -> tuple[Retriever, Retriever]:
    """Return a retriever, and a backbone that is the same but for one ruined matrix.

    That is the last matrix of the FFN in block 2 of 2.
    """
    toy = save_toy("llama", folder / "toy")
    before, after = (load_retriever(toy, pooling="mean", name=name) for name in ("ruined", "whole"))
    with torch.no_grad():  # one direction drowns all others
        before.passage.backbone.get_parameter("layers.1.mlp.down_proj.weight").fill_(1000)
    return before, after
