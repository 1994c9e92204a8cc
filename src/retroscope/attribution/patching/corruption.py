"""Corrupt queries: change one thing to which a retriever should react, after Chen et al. (SIGIR 2024).

- `swapped`: the rarest word is replaced by a word of another query with the same number of tokens, so that all other
  tokens keep their positions.
  Zhang and Nanda (2024, arXiv 2309.16042) recommend such replacements instead of noise, because noise is not
  distributed like the data.
- `removed`: the rarest word is removed. The axiom: a text without a query term is less relevant.
- `order`: the words are put into another order. A model that reads a query as a bag of words should hardly react.
- `negated`: "not" is inserted after the first auxiliary verb or, if there is none, before the rarest word. English
  only. The axiom: what answers a question does not answer its negation. A query with a negation is left out.

Rarity is counted over the words of the collection's queries and passages.

This module does not import torch.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

USUAL = ("swapped", "removed", "order")
CORRUPTIONS = (*USUAL, "negated")
AUXILIARY = re.compile(
    r"\b(?:am|is|are|was|were|do|does|did|has|have|had|can|could|will|would|shall|should|may|might|must)\b",
    re.IGNORECASE,
)
NEGATION = re.compile(
    r"\b(?:not|no|never|none|nothing|nobody|neither|nor|without|cannot)\b|n['\u2019]t\b", re.IGNORECASE
)
WORD = re.compile(r"\w+")
COUNTED = 20_000  # passages whose words are counted, at most


@dataclass(frozen=True)
class Corruption:
    """A query's clean text and one corrupted text.

    Attributes:
        query: id of the query.
        kind: how the text is corrupted, a name in `CORRUPTIONS`.
        clean, corrupted: text of the query before and after the corruption.
    """

    query: str
    kind: str
    clean: str
    corrupted: str


def word_counts(texts: Iterable[str]) -> Counter[str]:
    """Return, for each lower-case word, how many texts contain it."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update({word.lower() for word in WORD.findall(text)})
    return counts


def rarest(text: str, counts: Mapping[str, int]) -> re.Match[str] | None:
    """Return the match of the rarest word in a text (the first if several tie), or None if the text has no word.

    Args:
        counts: how many texts of the collection contain each lower-case word.
    """
    return min(WORD.finditer(text), key=lambda match: counts.get(match.group().lower(), 0), default=None)


def corruptions(
    queries: Mapping[str, str], counts: Mapping[str, int], kind: str, seed: int
) -> Iterator[tuple[str, Sequence[str]]]:
    """Yield (query id, corrupted texts) for every query. The corrupted texts are alternatives, in the order to try.

    A query that cannot be corrupted in this way has no corrupted text.

    Args:
        queries: texts of the queries by id.
        counts: how many texts of the collection contain each word (from `word_counts`).
        kind: how texts are corrupted, a name in `CORRUPTIONS`.
        seed: seed of the random choice of replacing words (`swapped`) and of word orders (`order`).
    """
    rarest_words = {i: rarest(text, counts) for i, text in queries.items()}
    words = {i: match.group() for i, match in rarest_words.items() if match is not None}
    for place, (i, text) in enumerate(queries.items()):
        rng, word = np.random.default_rng((seed, place)), rarest_words[i]
        if word is None:
            yield i, ()
        elif kind == "order":
            yield i, _reordered(text, rng)
        elif kind == "removed":
            yield i, tuple(t for t in [_spliced(text, word, "")] if WORD.search(t))
        elif kind == "negated":
            yield i, () if NEGATION.search(text) else (_negated(text, word),)
        else:
            others = [w for j, w in words.items() if j != i and w.lower() != word.group().lower()]
            yield i, tuple(_spliced(text, word, others[k]) for k in rng.permutation(len(others)))


def _spliced(text: str, word: re.Match[str], other: str) -> str:
    """Return the text with the matched word replaced by `other`. An empty `other` removes the word and one space."""
    before, after = text[: word.start()], text[word.end() :]
    return f"{before}{other}{after}" if other else f"{before.rstrip()} {after.lstrip()}".strip()


def _negated(text: str, word: re.Match[str]) -> str:
    """Return the text with "not" after its first auxiliary verb, or before `word` if it has no auxiliary verb."""
    verb = AUXILIARY.search(text)
    if verb is None:
        return f"{text[: word.start()]}not {text[word.start() :]}"
    return f"{text[: verb.end()]} not{text[verb.end() :]}"


def _reordered(text: str, rng: np.random.Generator) -> tuple[str, ...]:
    words = text.split()
    if len({*words}) < 2:
        return ()
    orders = (rng.permutation(len(words)) for _ in range(8))
    texts = (" ".join(words[k] for k in order) for order in orders)
    return tuple(t for t in texts if t != " ".join(words))
