"""The examples of an attribution: texts or queries, with the texts and vectors that define the scalar F."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from retroscope.attribution.objective import Objective
from retroscope.attribution.settings import AttributionSettings
from retroscope.attribution.top_neurons.stability import in_stages, random_order
from retroscope.collection.collection import Collection
from retroscope.collection.records import Candidates
from retroscope.encoders.encode import final_vectors, tokenise
from retroscope.encoders.encoder import Retriever
from retroscope.errors import AnalysisError
from retroscope.number_format import count

Vector = Float[Tensor, "out"]
Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Example:
    """One example of an attribution: a text (target `norm`), or a query and its passages (`score`, `margin`).

    Attributes:
        id: id of the text or of the query.
        texts: the texts that are encoded while weights or activations are scaled, without prompt.
        signs: +1, or -1 for a text whose score is subtracted, for each text.
        others: for each text, the vector with which its own vector is compared. Empty for `norm`.
        negative: id of the passage whose score is subtracted, empty if there is none.
        positive: id of the relevant passage, empty for `norm`.
    """

    id: str
    texts: tuple[str, ...]
    signs: tuple[float, ...]
    others: tuple[Vector, ...] = ()
    negative: str = ""
    positive: str = ""


def text_examples(ids: Sequence[str], texts: Sequence[str]) -> list[Example]:
    """Return one attribution example for each distinct text, with the norm of its embedding as the target.

    The id of an example is the first id with its text.
    """
    first: dict[str, str] = {}
    for text_id, text in zip(ids, texts, strict=True):
        first.setdefault(text, text_id)
    return [Example(text_id, (text,), (1.0,)) for text, text_id in first.items()]


def collection_examples(
    retriever: Retriever, collection: Collection, candidates: Sequence[Candidates], settings: AttributionSettings
) -> list[Example]:
    """Return the attribution examples of a collection: judged queries or, for the target `norm`, distinct texts.

    For `score` and `margin`, a query with several relevant passages is attributed with the first of them. For `norm`,
    the texts are queries on the query tower, and relevant passages on the passage tower. `settings.limit` examples are
    drawn without replacement, the same ones for every model. If the attribution may stop early, the examples are in
    random order.

    Raises:
        AnalysisError: if no example is left, e.g. because no query has a hard negative.
    """
    if settings.target == "norm":
        texts = {example.id: example for example in _texts(collection, candidates, settings.scaled)}
        return _drawn(texts, list(texts), settings)
    attributed = _attributed(collection, candidates, settings)
    if not attributed:
        raise AnalysisError(
            f"no judged query has both a relevant passage and a hard negative, as the target {settings.target!r} needs",
            where=collection.name,
            fix="give hard negatives (negatives.how), or use the target 'norm' (neurons.attribution.target)",
        )
    return _compared(retriever, collection, attributed, settings)


def with_shared_negatives(
    retrievers: Sequence[Retriever],
    collection: Collection,
    candidates: Sequence[Candidates],
    settings: AttributionSettings,
) -> list[Candidates]:
    """Choose one hard negative for each attributed query, shared by all retrievers. Return candidates with it alone.

    Every retriever ranks the first `settings.negatives` negatives of a query by its own scores. The shared negative is
    the one with the best mean rank, or the first of them if several tie.
    """
    attributed = _attributed(collection, candidates, settings)
    ranks = [np.zeros(len(c.negatives[: settings.negatives])) for c in attributed]
    for retriever in retrievers if attributed else ():
        queries, passages = _both_vectors(retriever, collection, attributed, settings.negatives)
        for rank, c in zip(ranks, attributed, strict=True):
            scores = np.array([float(queries[c.query_id] @ passages[p]) for p in c.negatives[: len(rank)]])
            rank += (scores[None, :] > scores[:, None]).sum(1)
    return [replace(c, negatives=(c.negatives[int(rank.argmin())],)) for c, rank in zip(attributed, ranks, strict=True)]


def _attributed(
    collection: Collection, candidates: Sequence[Candidates], settings: AttributionSettings
) -> list[Candidates]:
    """Return candidates of the judged queries, one relevant passage per query, for at most `settings.limit` queries.

    For the target `margin`, candidates without negatives are left out.
    """
    first = {c.query_id: c for c in reversed(candidates) if c.negatives or settings.target != "margin"}
    by_query = {query: first[query] for query in collection.judged_queries if query in first}
    return _drawn(by_query, collection.judged_queries, settings)


def _texts(collection: Collection, candidates: Sequence[Candidates], tower: str) -> list[Example]:
    """Return an example for each distinct query or, for the passage tower, each distinct relevant passage."""
    if tower == "query":
        ids = list(dict.fromkeys(c.query_id for c in candidates))
        return text_examples(ids, [collection.queries[i].text for i in ids])
    ids = list(dict.fromkeys(c.positive for c in candidates))
    return text_examples(ids, [collection.passage_text(i) for i in ids])


def _drawn(items: Mapping[str, Item], ids: Sequence[str], settings: AttributionSettings) -> list[Item]:
    """Draw at most `settings.limit` items: in random order if the attribution may stop early, else in their own order.

    Args:
        items: the items by id.
        ids: all ids from which the random order is drawn, including ids without an item. Two models with different
            items therefore have the items that they share in the same order.
    """
    n = min(settings.limit or len(items), len(items))
    if in_stages(n, settings):
        return [items[i] for i in random_order(ids, settings.seed) if i in items][:n]
    if n == len(items):
        return list(items.values())
    generator = torch.Generator().manual_seed(settings.seed)
    drawn = torch.randperm(len(items), generator=generator)[:n].sort().values
    return [list(items.values())[i] for i in drawn.tolist()]


def left_out(collection: Collection, candidates: Sequence[Candidates], settings: AttributionSettings) -> list[str]:
    """Return notes on what an attribution leaves out: queries without a hard negative, and examples not drawn."""
    if settings.target == "norm":
        total, lacking = len(_texts(collection, candidates, settings.scaled)), 0
    else:
        attributable = {c.query_id for c in candidates if c.negatives or settings.target != "margin"}
        total, lacking = len(attributable), len({c.query_id for c in candidates} - attributable)
    verbs = "has no hard negative and is" if lacking == 1 else "have no hard negative and are"
    notes = [f"neurons: {count(lacking, 'judged query')} {verbs} left out"] if lacking else []
    if settings.limit and settings.limit < total:
        kind = "query" if settings.target != "norm" or settings.scaled == "query" else "passage"
        notes.append(f"neurons: {settings.limit:,} of {count(total, kind)} were drawn (seed {settings.seed})")
    return notes


def _compared(
    retriever: Retriever, collection: Collection, chosen: Sequence[Candidates], settings: AttributionSettings
) -> list[Example]:
    """Return the examples of the target `score` or `margin`, with the vectors with which their texts are compared."""
    negatives = settings.negatives if settings.target == "margin" else 0
    queries, passages = _both_vectors(retriever, collection, chosen, negatives)
    examples = []
    for c in chosen:
        query = queries[c.query_id]
        hard = max(c.negatives[:negatives], key=lambda p: float(query @ passages[p]), default=None)
        examples.append(_example(collection, c, hard, (query, passages), settings.scaled))
    return examples


def _example(
    collection: Collection, c: Candidates, hard: str | None, vectors: tuple[Vector, dict[str, Vector]], tower: str
) -> Example:
    """Return the example of one query. `hard` is the negative whose score is subtracted, None for `score`."""
    query, passages = vectors
    if tower == "query":
        other = passages[c.positive] if hard is None else passages[c.positive] - passages[hard]
        return Example(c.query_id, (collection.queries[c.query_id].text,), (1.0,), (other,), hard or "", c.positive)
    texts = [collection.passage_text(p) for p in (c.positive, hard) if p is not None]
    signs = (1.0, -1.0)[: len(texts)]
    return Example(c.query_id, tuple(texts), signs, (query,) * len(texts), hard or "", c.positive)


def _both_vectors(
    retriever: Retriever, collection: Collection, chosen: Sequence[Candidates], negatives: int
) -> tuple[dict[str, Vector], dict[str, Vector]]:
    """Return the vectors of the queries, and of their relevant passages and first `negatives` negatives, by id."""
    passage_ids = dict.fromkeys(p for c in chosen for p in (c.positive, *c.negatives[:negatives]))
    passages = _vectors(retriever, "passage", {p: collection.passage_text(p) for p in passage_ids})
    return _vectors(retriever, "query", {c.query_id: collection.queries[c.query_id].text for c in chosen}), passages


def _vectors(retriever: Retriever, tower: str, texts: dict[str, str]) -> dict[str, Vector]:
    """Return the final vector of each text by id, of unit length if the retriever compares by cosine."""
    encoder = retriever.tower(tower)
    final = final_vectors(encoder, tokenise(encoder, list(texts.values())))
    vectors = normalize(final, dim=-1) if retriever.similarity == "cosine" else final
    return dict(zip(texts, vectors, strict=True))


def objective(examples: Sequence[Example], *, cosine: bool, device: torch.device) -> Objective:
    """Return the objective of these examples, which computes the scalar F of each example from its texts' vectors."""
    others = [other for example in examples for other in example.others]
    numbers = [number for number, example in enumerate(examples) for _ in example.texts]
    signs = [sign for example in examples for sign in example.signs]
    return Objective(
        torch.stack(others).to(device) if others else None,
        torch.tensor(signs, device=device),
        torch.tensor(numbers, device=device),
        cosine and bool(others),
    )
