"""Checks of `doctor --data`: do other recipes (pooling, prompts ...) suit a checkpoint better, and do queries leak?

With every plausible recipe, a small corpus is ranked: the relevant passages of at most 200 queries, and passages drawn
at random. The best recipe is chosen on half of the queries. It is compared with the given recipe on the other half, so
that the comparison is not biased by the choice. A query leaks if it is also in another split.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor

from retroscope.collection.collection import Collection
from retroscope.collection.loading import drawn_queries, load_collection, splits_of
from retroscope.collection.records import folded
from retroscope.encoders.checks.finding import NOTE, PASSED, WARNING, Finding
from retroscope.encoders.encode import final_vectors, tokenise
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.encoders.similarity import SIMILARITIES
from retroscope.errors import CollectionError
from retroscope.inputs.load import collection_of
from retroscope.inputs.settings import DataSettings

QUERIES, OTHERS = 200, 1000
FEWEST = 20  # queries: fewer say nothing about a recipe
LEVEL = 0.95
DEPTH = 10  # of the reciprocal rank
ROUNDING = 1e-6  # of two float32 scores of equal texts, relative to them
PROMPTS: Mapping[str, tuple[str, str]] = {
    "no prompts": ("", ""),
    "'query: ' and 'passage: '": ("query: ", "passage: "),
    "'search_query: ' and 'search_document: '": ("search_query: ", "search_document: "),
}

QueryScores = Float[np.ndarray, "query"]


@dataclass(frozen=True)
class Sample:
    """A sample of queries and passages on which recipes (pooling, prompts ...) are compared.

    Attributes:
        relevant: for each query, the indices of its relevant passages in `passages`.
    """

    queries: tuple[str, ...]
    passages: tuple[str, ...]
    relevant: tuple[frozenset[int], ...]


def data_findings(retriever: Retriever, data: DataSettings) -> Iterator[Finding]:
    """Check a retriever's recipe (pooling, prompts ...) and the queries of a collection, and yield the findings.

    Raises:
        CollectionError: if the collection cannot be read.
    """
    collection = collection_of(data)
    yield from leak_findings(collection, data)
    sample = small_sample(collection, data.seed)
    if len(sample.queries) < FEWEST:
        yield Finding(
            NOTE, "recipes", f"{len(sample.queries)} judged queries: at least {FEWEST} are needed to compare recipes"
        )
        return
    yield recipe_finding(retriever, sample, collection.name, data.seed)


def recipe_finding(retriever: Retriever, sample: Sample, name: str, seed: int = 0) -> Finding:
    """Test whether another recipe (pooling, prompts ...) retrieves better than the retriever's own.

    The best recipe is chosen on half of the queries, and compared with the retriever's own on the other half.
    """
    scores = {"as given": reciprocal_ranks(retriever, sample)}
    for what, other in plausible(retriever):
        scores[what] = reciprocal_ranks(other, sample)
    order = np.random.default_rng(seed).permutation(len(sample.queries))
    chosen_on, compared_on = order[::2], order[1::2]
    best = max(scores, key=lambda what: float(scores[what][chosen_on].mean()))
    own_scores, best_scores = scores["as given"][compared_on], scores[best][compared_on]
    low, high = paired_interval(best_scores - own_scores)
    change = f"{best_scores.mean() - own_scores.mean():+.3f} [{low:+.3f}, {high:+.3f}]"
    numbers = f"RR@{DEPTH} {own_scores.mean():.3f} with the given recipe"
    size = (
        f"{len(sample.queries)} queries of {name} over {len(sample.passages):,} passages; {len(scores)} recipes tried"
    )
    if best == "as given":
        text = f"no other recipe is better on the half of the queries that selects a recipe ({numbers}; {size})"
        return Finding(PASSED, "recipes", text)
    evidence = f"{numbers}, {best_scores.mean():.3f} with {best}: {change}"
    if low > 0:
        fix = f"check the recipe that the model was trained with; on this collection, {best} is best"
        return Finding(WARNING, "recipes", f"another recipe fits this checkpoint better: {evidence} ({size})", fix)
    return Finding(PASSED, "recipes", f"no other recipe is significantly better: {evidence} ({size})")


def paired_interval(differences: QueryScores) -> tuple[float, float]:
    """Return the ends of the t interval of the mean of paired differences, at the confidence `LEVEL`."""
    if not differences.any():
        return 0.0, 0.0
    error = float(differences.std(ddof=1) / np.sqrt(len(differences)))
    reach = float(stats.t.ppf((1 + LEVEL) / 2, len(differences) - 1)) * error
    return float(differences.mean()) - reach, float(differences.mean()) + reach


def plausible(retriever: Retriever) -> Iterator[tuple[str, Retriever]]:
    """Yield copies of a retriever with one plausible change, e.g. of the pooling, each with a name of the change."""
    own = retriever.passage.recipe.pooling
    poolings = ("mean", "last_token") if retriever.passage.anatomy.causal else ("cls", "mean", "last_token")
    for pooling in poolings:
        if pooling != own:
            yield f"{pooling} pooling", with_fields(retriever, pooling=pooling)
        if pooling == "last_token" and retriever.passage.tokenizer.eos_token_id is not None:
            yield "last_token pooling of EOS", with_fields(retriever, pooling=pooling, append_eos=True)
    unit = retriever.passage.recipe.head[-1:] == ("normalize",)  # then cosine and dot rank alike
    for similarity in SIMILARITIES:
        if similarity != retriever.similarity and not unit:
            yield f"similarity {similarity}", replace(retriever, similarity=similarity)
    for what, (query, passage) in PROMPTS.items():
        if (query, passage) != (retriever.query.recipe.prompt, retriever.passage.recipe.prompt):
            yield what, with_prompts(retriever, query, passage)


def with_fields(retriever: Retriever, **fields: object) -> Retriever:
    """Return the retriever with new values for recipe fields, e.g. the pooling, of both of its encoders."""
    query, passage = (_encoder(retriever.tower(tower), **fields) for tower in ("query", "passage"))
    return replace(retriever, query=query, passage=passage)


def with_prompts(retriever: Retriever, query: str, passage: str) -> Retriever:
    """Return the retriever with these prompts of queries and passages."""
    towers = _encoder(retriever.query, prompt=query), _encoder(retriever.passage, prompt=passage)
    return replace(retriever, query=towers[0], passage=towers[1])


def _encoder(encoder: Encoder, **fields: object) -> Encoder:
    return replace(encoder, recipe=encoder.recipe.but("tried", **fields))


def reciprocal_ranks(retriever: Retriever, sample: Sample) -> QueryScores:
    """Return the reciprocal rank of each query's best relevant passage, 0 below rank `DEPTH`.

    In a tie, passages that are not relevant rank first.
    """
    compared = SIMILARITIES[retriever.similarity]
    queries, passages = (
        compared(_vectors(retriever.tower(tower), texts))
        for tower, texts in (("query", sample.queries), ("passage", sample.passages))
    )
    scores = (queries @ passages.T).numpy()
    ranks = np.array([_rank(row, relevant) for row, relevant in zip(scores, sample.relevant, strict=True)])
    return np.where(ranks <= DEPTH, 1 / ranks, 0.0)


def _rank(scores: Float[np.ndarray, "passage"], relevant: frozenset[int]) -> int:
    best = max(float(scores[place]) for place in relevant)
    ahead = np.flatnonzero(scores >= best - ROUNDING * abs(best))
    return 1 + sum(int(place) not in relevant for place in ahead)


@torch.inference_mode()
def _vectors(encoder: Encoder, texts: Sequence[str]) -> Tensor:
    vectors: Tensor = final_vectors(encoder, tokenise(encoder, texts))
    return vectors


def small_sample(collection: Collection, seed: int = 0) -> Sample:
    """Draw queries on which recipes are tried, their relevant passages, and further passages at random.

    Queries with equal texts become one query, with the relevant passages of all of them.
    """
    drawn = drawn_queries(collection, QUERIES, seed)
    relevant: dict[int, dict[str, None]] = {}
    for query in drawn.judged_queries:
        relevant.setdefault(drawn.query_texts[query], {}).update(dict.fromkeys(drawn.relevant[query]))
    first = {drawn.query_texts[query]: drawn.queries[query].text for query in reversed(drawn.judged_queries)}
    needed = {passage: None for passages in relevant.values() for passage in passages}
    ids = [*collection.passages]
    for place in np.random.default_rng(seed).permutation(len(ids))[: OTHERS + len(needed)]:
        if len(needed) < OTHERS + len(relevant):
            needed.setdefault(ids[int(place)])
    places = {passage: place for place, passage in enumerate(needed)}
    return Sample(
        tuple(first[text] for text in relevant),
        tuple(collection.passage_text(passage) for passage in needed),
        tuple(frozenset(places[passage] for passage in passages) for passages in relevant.values()),
    )


def leak_findings(collection: Collection, data: DataSettings) -> Iterator[Finding]:
    """Yield findings about queries that occur twice, equal a passage, or are also in another split."""
    texts = [folded(query.text) for query in collection.queries.values()]
    repeated = len(texts) - len({*texts})
    passages = {folded(passage.text) for passage in collection.passages.values()}
    copied = sum(text in passages for text in texts)
    twice = f"{repeated} of {len(texts)} queries repeat the text of another query, and {copied} that of a passage"
    if copied or repeated > len(texts) / 10:
        fix = "remove these queries: any model finds a passage that equals the query"
        yield Finding(WARNING, "repeated texts", twice, fix)
    else:
        yield Finding(PASSED, "repeated texts", twice)
    for split in splits_of(data.source):
        if split == collection.mapping.get("split"):
            continue
        try:
            others = load_collection(data.source, split=split, columns=data.columns)
        except CollectionError as error:  # the topics of a TREC split may not be there
            evidence = f"the split {split!r} cannot be read, so its queries are not compared: {error.what}"
            yield Finding(NOTE, "leaks", evidence, error.fix)
            continue
        leaked = len({*texts} & {folded(query.text) for query in others.queries.values()})
        if leaked:
            fix = "train without them, or test on queries that are in one split only"
            evidence = f"{leaked} of {len(texts)} queries are also in the split {split!r}"
            yield Finding(WARNING, "leaks", evidence, fix)
        else:
            yield Finding(PASSED, "leaks", f"no query is also in the split {split!r}")
