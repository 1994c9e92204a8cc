"""The tiny pair, made once, and one comparison of it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.loading import load_collection
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from retroscope.study.compare import compare
from retroscope.study.study import Study
from tiny_study import QUICK, Tiny, make_tiny
from toys import CORPUS, save_toy


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def collection(tiny: Tiny) -> Collection:
    return load_collection(tiny.data)


@pytest.fixture(scope="session")
def backbone(tiny: Tiny) -> Retriever:
    return load_retriever(tiny.backbone, pooling="mean")


@pytest.fixture(scope="session")
def retriever(tiny: Tiny) -> Retriever:
    return load_retriever(tiny.retriever, pooling="mean")


@pytest.fixture(scope="session")
def study(backbone: Retriever, retriever: Retriever, collection: Collection, cache: Path) -> Study:
    return compare(backbone, retriever, collection, QUICK, cache=cache)


@pytest.fixture(scope="session")
def halves() -> Collection:
    """Queries that are half of their passage."""
    words, rng = np.array([word for text in CORPUS for word in text.split()]), np.random.default_rng(0)
    texts = [rng.choice(words, 6, replace=False) for _ in range(150)]
    passages = [Passage(f"p{i}", " ".join(text)) for i, text in enumerate(texts)]
    queries = [Query(f"q{i}", " ".join(text[:3])) for i, text in enumerate(texts)]
    return make_collection("toy", passages, queries, [Judgment(q.id, f"p{q.id[1:]}") for q in queries])


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Retriever, Retriever]:
    """A retriever, and a backbone that is the same but for one ruined matrix: the last of the FFN in block 2 of 2."""
    folder = save_toy("llama", tmp_path_factory.mktemp("planted") / "toy")
    before, after = (load_retriever(folder, pooling="mean", name=name) for name in ("ruined", "whole"))
    with torch.no_grad():  # one direction drowns all others
        before.passage.backbone.get_parameter("layers.1.mlp.down_proj.weight").fill_(1000)
    return before, after
