"""BM25 over a collection, through bm25s (Lù 2024, arXiv 2407.03618), with ties broken as trec_eval breaks them."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from retroscope.collection.bm25_index import write_index
from retroscope.collection.collection import Collection, join_title
from retroscope.collection.records import NegativesRecipe
from retroscope.files.partials import new_beside, remove_abandoned
from retroscope.progress import listens

IN_MEMORY = 100_000  # passages of the largest corpus whose index is in memory
REPORTED = 1000  # passages between two reports of progress

# Words of two characters and more, as bm25s and scikit-learn split them; Chinese and Japanese characters
# one by one, because those scripts put no space between words.
UNSPACED = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
TOKEN = rf"[{UNSPACED}]|[^\W{UNSPACED}]{{2,}}"
# Lucene's own k1 and b. DPR mined with 0.9 and 0.4 (Karpukhin et al. 2020), which prefers long passages: a probe
# that never reads the query then finds the relevant one by its length (docs/methods/probing.md).
BM25_RECIPE: NegativesRecipe = {
    "method": "lucene",
    "k1": 1.2,
    "b": 0.75,
    "stop_words": "english",
    "stemmer": None,
    "token_pattern": TOKEN,
    "text": "title and text",
    "ties": "by id, the greater first (trec_eval)",
    "bm25s": version("bm25s"),
}


def bm25_ranking(collection: Collection) -> Callable[[str, int], Sequence[str]]:
    """Return a function that maps a query id and a number n (depth) to the ids of the n best passages, best first.

    Only passages that share a word with the query are ranked. Of passages with equal scores, the one with the greater
    id ranks first, as in trec_eval and in every other ranking.

    The index of a corpus of up to `IN_MEMORY` passages is in memory: about 8 bytes for each distinct word of each
    passage. The index of a larger corpus is in temporary files, which are read only as far as queries need them.
    """
    import bm25s
    from bm25s.tokenization import Tokenizer

    tokenizer = Tokenizer(splitter=TOKEN, stopwords=BM25_RECIPE["stop_words"])
    index = bm25s.BM25(method=BM25_RECIPE["method"], k1=BM25_RECIPE["k1"], b=BM25_RECIPE["b"])
    tokenised = tokenizer.streaming_tokenize(_texts(collection), update_vocab=True)
    if len(collection.passages) <= IN_MEMORY:
        index.index((list(tokenised), tokenizer.get_vocab_dict()), show_progress=False)
    else:
        _index_on_disk(index, tokenised)
    ids = np.array(list(collection.passages), dtype=object)
    place = np.argsort(np.argsort(ids, kind="stable")[::-1], kind="stable")  # of an id, the greatest first

    def ranking(query_id: str, depth: int) -> Sequence[str]:
        text = collection.queries[query_id].text
        words = next(iter(tokenizer.streaming_tokenize([text], update_vocab=False, allow_empty=False)))
        return list(ids[best_rows(index.get_scores_from_ids(words), place, depth)]) if words else []

    return ranking


def _texts(collection: Collection) -> Iterator[str]:
    """Yield title and text of every passage, and show how many passages have been read so far."""
    report, total = listens(), len(collection.passages)
    for number, passage in enumerate(collection.passages.values(), start=1):
        yield join_title(passage, collection.title_separator)
        if report and (number % REPORTED == 0 or number == total):
            report(f"BM25 index of {collection.name}", number, total)


def _index_on_disk(index: Any, passages: Iterable[list[int]]) -> None:
    """Write the scores of tokenised passages to temporary files, and memory-map these in a bm25s index."""
    place = Path(tempfile.gettempdir()) / "retroscope-bm25"
    remove_abandoned(place.parent, name=place.name)
    with new_beside(place) as folder:
        count = write_index(passages, folder, k1=index.k1, b=index.b)
        index.load_scores(folder, num_docs=count, mmap=True)  # what is mapped stays when the folder goes
    index.nonoccurrence_array = None  # other variants of BM25 score absent words, too


def best_rows(scores: Float[np.ndarray, "n"], place: Int[np.ndarray, "n"], depth: int) -> Int[np.ndarray, "k"]:
    """Return the indices of the `depth` highest scores above 0, the highest first.

    Of equal scores, the one with the smaller number in `place` comes first.
    """
    rows = np.flatnonzero(scores > 0)
    if len(rows) > depth:
        worst = np.partition(scores[rows], len(rows) - depth)[len(rows) - depth]
        rows = rows[scores[rows] >= worst]
    return rows[np.lexsort((place[rows], -scores[rows]))][:depth]
