"""Project the vectors of queries and relevant passages onto the vocabulary, layer by layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr
from jaxtyping import Float

from retroscope.analyses.analysis import Instrument, Planned
from retroscope.analyses.context import Context
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.vocabulary.settings import VocabularySettings
from retroscope.collection.collection import Collection
from retroscope.encoders.checkpoints.language_heads import LanguageHead, NoLanguageHead, load_language_head
from retroscope.encoders.encode import tokenise
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.errors import SettingsError
from retroscope.inputs.sampled import stratified
from retroscope.representations.projection import Lexicon, lexicon_of, mean_logits, own_words, top_tokens
from retroscope.representations.vectors import RetrieverRepresentations
from retroscope.scores import Scores

QUANTITIES = ("query words", "passage words", "overlap", "shuffled overlap")
Heads = Mapping[str, LanguageHead]  # tower -> what reads it
TOWERS = ("query", "passage")
WORDS_SHOWN = 12  # of a vector, in the page's table
LOGIT = 3e-9  # seconds of one logit and its place among the largest, by benchmarks/vocabulary.py on one core


def heads_of(context: Context) -> dict[str, LanguageHead | NoLanguageHead | None]:
    """Return tower ("query", "passage") -> language-model head, of the backbone or of the single model of a study.

    The head is None for an encoder that was made in memory. If both towers are one encoder, they share a head.
    """
    backbone = next(iter(context.models.values()))
    loaded: dict[str, LanguageHead | NoLanguageHead | None] = {}
    for tower in TOWERS:
        encoder = backbone.tower(tower)
        if tower != TOWERS[0] and encoder is backbone.tower(TOWERS[0]):
            loaded[tower] = loaded[TOWERS[0]]
            continue
        source = encoder.source
        loaded[tower] = (
            None if source is None else load_language_head(source.source, source.settings, tower=source.tower)
        )
    return loaded


def refusal(context: Context, settings: VocabularySettings) -> str:
    """Return the reason why the vectors cannot be projected onto the vocabulary, or "" if there is none.

    Raises:
        SettingsError: for a layer that a model does not have.
    """
    for retriever in context.models.values():
        last = retriever.passage.anatomy.n_blocks
        wrong = [k for k in settings.layers or () if k > last]
        if wrong:
            raise SettingsError(
                f"vocabulary.layers names layer {wrong[0]}, which this model does not have",
                where=retriever.name,
                fix=f"give layers from 0 to {last} in vocabulary.layers",
            )
    for tower, head in heads_of(context).items():
        if head is None:
            return f"the {tower} tower was made in memory, so its language-model head is unknown"
        if isinstance(head, NoLanguageHead):
            return f"{head.source}: {head.reason.value}"
        if settings.k > head.vocabulary:
            raise SettingsError(
                f"vocabulary.k is {settings.k}, more than the {head.vocabulary} tokens of the vocabulary",
                where=head.source,
                fix=f"give at most {head.vocabulary}",
            )
        for retriever in context.models.values():
            reason = _unread(retriever, tower, head)
            if reason:
                return reason
    return ""


def _unread(retriever: Retriever, tower: str, head: LanguageHead) -> str:
    """Return the reason why a language-model head cannot be applied to an encoder's vectors, or "" if there is none."""
    encoder = retriever.tower(tower)
    if encoder.recipe.normalize_layers or "+" in encoder.recipe.pooling:
        return (
            f"{retriever.name} normalises its layer vectors or joins several poolings, so a language-model head cannot "
            "read its vectors"
        )
    if len(encoder.tokenizer) > head.vocabulary:
        return f"the tokenizer of {retriever.name} has more tokens than the head of {head.source}"
    return ""


def plan(context: Context, settings: VocabularySettings) -> Planned:
    """Plan the projection of vectors onto the vocabulary: count the queries, and estimate the seconds."""
    queries = min(settings.queries, len(context.collection.judged_queries))
    seconds = 0.0
    for retriever in context.models.values():
        layers = len(settings.layers or retriever.passage.layer_names)
        logits = 2 * queries * layers * retriever.passage.backbone.config.get_text_config().vocab_size
        seconds += logits * LOGIT + 2 * logits * retriever.passage.width / context.product_rate
    return Planned(
        (f"vocabulary: {queries:,} queries and their passages at every layer",), seconds, work=heads_of(context)
    )


def measure(context: Context, settings: VocabularySettings, planned: Planned) -> Measurement:
    """Return shares of the words that vectors decode to: how many are in the text, or common to query and passage.

    The scores are named by model, e.g. "before", with the dimensions (query, layer, quantity). The quantities are the
    shares that `QUANTITIES` names.

    The frame "says" has the most probable words at the last layer: query_id, side, query_says, passage_says, and added
    (words of the query's vector that the query does not contain).
    """
    pairs = _pairs(context.collection, settings)
    scores: dict[str, Scores] = {}
    says: list[pd.DataFrame] = []
    seconds: dict[str, float] = {}
    for side, retriever in context.models.items():
        stages = context.stages(retriever.name)
        one = _measured(context, retriever, planned.work, pairs, settings)
        relevant = {query: context.collection.relevant[query] for query in pairs.queries}
        recipe = {"k": settings.k, "centred": settings.centred}
        shares = Scores("vocabulary", one.values, recipe, passages=relevant)
        scores[side] = shares.with_texts(context.collection.query_texts)
        says.append(one.says.assign(side=side))
        stages.ended("vocabulary")
        seconds |= {f"{side}: {stage}": duration for stage, duration in stages.seconds.items()}
    return Measurement(
        scores, {"says": pd.concat(says, ignore_index=True)}, facts={"k": settings.k, "centred": settings.centred},
        caveats=pairs.notes, seconds=seconds,
    )  # fmt: skip


@dataclass(frozen=True)
class ReadPairs:
    """Queries, each with its first relevant passage and, as a control, the relevant passage of another query.

    Attributes:
        queries: ids of the queries.
        passages: id of the first relevant passage of each query.
        others: for each query, the index (in `queries`) of another query, whose passage is the control.
        notes: notes on the sample, if not all queries are in it.
    """

    queries: tuple[str, ...]
    passages: tuple[str, ...]
    others: np.ndarray
    notes: tuple[str, ...] = ()


def _pairs(collection: Collection, settings: VocabularySettings) -> ReadPairs:
    rng = np.random.default_rng(settings.seed)
    queries, notes = list(collection.judged_queries), list[str]()
    if len(queries) > settings.queries:
        judged = [len(collection.qrels[query]) for query in queries]
        drawn = {*stratified(queries, judged, rng)[: settings.queries]}
        note = f"vocabulary: a sample of {settings.queries:,} of {len(queries):,} queries was projected"
        queries, notes = [query for query in queries if query in drawn], [note]
    order = rng.permutation(len(queries))
    others = np.empty_like(order)
    others[order] = np.roll(order, 1)  # one cycle: nobody keeps the own passage
    passages = tuple(collection.relevant[query][0] for query in queries)
    return ReadPairs(tuple(queries), passages, others, tuple(notes))


@dataclass(frozen=True, eq=False)
class _Said:
    values: xr.DataArray
    says: pd.DataFrame


@dataclass(frozen=True, eq=False)
class TowerReading:
    """Inputs for decoding query or passage vectors: language-model head, lexicon, ids of the texts, and their words."""

    head: LanguageHead
    lexicon: Lexicon
    ids: tuple[str, ...]
    own: list[frozenset[str]]


def _measured(
    context: Context, retriever: Retriever, heads: Heads, pairs: ReadPairs, settings: VocabularySettings
) -> _Said:
    vectors = context.encoded(retriever).vectors
    layers = tuple(sorted(settings.layers or range(vectors.passage.n_layers)))
    readings = {tower: _reading(context, retriever.tower(tower), heads[tower], pairs, tower) for tower in TOWERS}
    shares, words_of = [], {}
    for layer in layers:
        words_of = {tower: _words(vectors, readings[tower], tower, layer, settings) for tower in TOWERS}
        shares.append(_shares(words_of, readings, pairs))
    coords = {"query": list(pairs.queries), "layer": list(layers), "quantity": list(QUANTITIES)}
    values = xr.DataArray(np.stack(shares, axis=1), coords, ("query", "layer", "quantity"))
    added = [
        [w for w in words if w not in own] for words, own in zip(words_of["query"], readings["query"].own, strict=True)
    ]
    says = {
        "query_says": words_of["query"], "passage_says": words_of["passage"], "added": added,
    }  # fmt: skip
    frame = pd.DataFrame({name: [" ".join(words[:WORDS_SHOWN]) for words in lists] for name, lists in says.items()})
    return _Said(values, frame.assign(query_id=list(pairs.queries)))


def _reading(context: Context, encoder: Encoder, head: LanguageHead, pairs: ReadPairs, tower: str) -> TowerReading:
    lexicon, collection = lexicon_of(encoder.tokenizer, head.vocabulary), context.collection
    ids = pairs.queries if tower == "query" else pairs.passages
    texts = [collection.queries[i].text if tower == "query" else collection.passage_text(i) for i in ids]
    bare = replace(encoder, recipe=replace(encoder.recipe, prompt="", suffix=""))  # a prompt is not the text's own
    return TowerReading(head, lexicon, ids, own_words(lexicon, tokenise(bare, texts)))


def _words(
    vectors: RetrieverRepresentations, reading: TowerReading, tower: str, layer: int, settings: VocabularySettings
) -> list[list[str]]:
    """Return the words that each vector of the queries or of the passages decodes to at a layer."""
    stored = vectors.query if tower == "query" else vectors.passage
    states = stored.layer(layer)[stored.rows(reading.ids)]
    centre = mean_logits(reading.head, states) if settings.centred else None
    tokens = top_tokens(reading.head, reading.lexicon, states, settings.k, centre)
    return [reading.lexicon.of(row) for row in tokens]


def _shares(
    words_of: dict[str, list[list[str]]], readings: dict[str, TowerReading], pairs: ReadPairs
) -> Float[np.ndarray, "query quantity"]:
    """Return the shares of decoded words that `QUANTITIES` names: words in the text, and words that two vectors share.

    A share is of the distinct words, which may be fewer than k, because several tokens may be one word.
    """
    query, passage = ([frozenset(words) for words in words_of[tower]] for tower in TOWERS)
    own = {
        tower: _common(said_by, readings[tower].own) for tower, said_by in zip(TOWERS, (query, passage), strict=True)
    }
    others = [passage[row] for row in pairs.others]
    sizes = {tower: np.array([max(1, len(words)) for words in lists]) for tower, lists in words_of.items()}
    by_query = np.stack([own["query"], _common(query, passage), _common(query, others)]) / sizes["query"]
    return np.stack([by_query[0], own["passage"] / sizes["passage"], by_query[1], by_query[2]], axis=1)


def _common(one: Sequence[frozenset[str]], two: Sequence[frozenset[str]]) -> Float[np.ndarray, "query"]:
    return np.array([len(a & b) for a, b in zip(one, two, strict=True)], dtype=np.float64)


INSTRUMENT = Instrument(refusal, plan, measure)
