"""Toys with pairs to train them with."""

from collections.abc import Callable
from pathlib import Path

import pytest

from retroscope.collection.collection import Collection, make_collection
from retroscope.collection.records import Judgment, Passage, Query
from retroscope.encoders.encoder import Retriever
from retroscope.encoders.loading import load_retriever
from toys import CORPUS, save_toy

WORDS = [word for text in CORPUS for word in text.split()]


@pytest.fixture(scope="session")
def pairs_of() -> Callable[[int], Collection]:
    """So many queries with a passage each, of words that the toys' tokenizers know."""

    def make(n: int, first: int = 0) -> Collection:
        texts = [
            f"{WORDS[i % 23]} {WORDS[(5 * i + 1) % 29]} {WORDS[i // 23 % 31]} {i}" for i in range(first, first + n)
        ]
        passages = [Passage(f"p{i}", f"the {text} is here") for i, text in enumerate(texts, first)]
        queries = [Query(f"q{i}", f"{text} ?") for i, text in enumerate(texts, first)]
        return make_collection("pairs", passages, queries, [Judgment(q.id, f"p{q.id[1:]}") for q in queries])

    return make


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[Path, Retriever]]:
    """A toy on disk and loaded, with prompts."""

    folders: dict[str, Path] = {}

    def make(name: str = "bert", **options) -> tuple[Path, Retriever]:
        folder = folders.setdefault(name, tmp_path_factory.mktemp("toys", numbered=True) / name)
        if not folder.exists():
            save_toy(name, folder)
        values = {"pooling": "mean", "query_prompt": "Who ", "passage_prompt": "A ", "max_length": 32, **options}
        return folder, load_retriever(folder, **values)

    return make
