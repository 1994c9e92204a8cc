"""Erase the directions that relevant pairs share at a layer, run the layers above, and measure probe and retrieval."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from retroscope.analyses.analysis import Instrument, Planned
from retroscope.analyses.context import Context
from retroscope.analyses.erasure.examples import ErasureParts, unrelated_choices
from retroscope.analyses.erasure.plan import (
    TOWERS,
    ErasureWork,
    layers_of,
    plan,
    probe_settings,
    refusal,
    searched_sample,
)
from retroscope.analyses.erasure.result import ERASED, INTACT, READABLE, RETRIEVED
from retroscope.analyses.erasure.settings import RANK, SHUFFLED, VARIANCE, ErasureSettings
from retroscope.analyses.measurement import Measurement
from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Retriever
from retroscope.inputs.texts import TowerTexts, texts_of
from retroscope.inputs.whole_search import few_queries
from retroscope.probing.grid import probe
from retroscope.progress import Progress
from retroscope.representations.vectors import RetrieverRepresentations, representations_in_memory
from retroscope.retrieval.retrieve import retrieve
from retroscope.scores import Scores
from retroscope.surgery.edited import LayerEdit, edited_vectors
from retroscope.surgery.erasers import Erasure, PairVectors, held_out_correlations, pair_erasure, random_erasure

ErasedCell = tuple[int, str]  # rank, and the variant of what is erased


@dataclass(frozen=True, eq=False)
class ErasureTrial:
    """Inputs that all erasures of one model share: its vectors, the queries, the texts and the settings.

    Attributes:
        retriever: the model.
        vectors: vectors of every layer. No layer below the last has passed through the final norm.
        searched: held-out queries, and the passages that are searched with them.
        parts: training pairs and held-out queries.
        texts: tower -> the tokenised texts of `searched`.
        measure: ir-measures name of the retrieval measure.
        settings: settings of the analysis.
        progress: called with (name of the stage, texts done, texts in all).
    """

    retriever: Retriever
    vectors: RetrieverRepresentations
    searched: Collection
    parts: ErasureParts
    texts: Mapping[str, TowerTexts]
    measure: str
    settings: ErasureSettings
    progress: Progress | None

    def pairs(self, layer: int) -> PairVectors:
        """Return the vectors of the training pairs at a layer."""
        return self._pairs(self.parts.train, layer)

    def held_out(self, layer: int) -> PairVectors:
        """Return the vectors of the held-out queries and their first relevant passages at a layer."""
        relevant = self.searched.relevant
        return self._pairs([(query, relevant[query][0]) for query in self.searched.judged_queries], layer)

    def _pairs(self, pairs: Sequence[tuple[str, str]], layer: int) -> PairVectors:
        ids = dict(zip(TOWERS, zip(*pairs, strict=True), strict=True))
        stored = {"query": self.vectors.query, "passage": self.vectors.passage}
        return PairVectors({t: torch.from_numpy(v.layer(layer)[v.rows(ids[t])]) for t, v in stored.items()})


def measure(context: Context, settings: ErasureSettings, planned: Planned) -> Measurement:
    """Return retrieval scores and probe accuracies of every query for each model, intact and after erasure.

    They are named "SIDE/NAME", e.g. "before/intact". "intact" is retrieval by the intact model (query,). "retrieved" is
    retrieval after every erasure (query, layer, rank, variant); a variant is the erasure or a control. "readable" is
    the accuracy of the probe of each layer (query, layer, rank, state): intact, erased, and with one random subspace
    erased. The frame "removed" has the shares of the variance that erasures remove. The frame "shared" has the mean
    correlation of held-out pairs along the erased directions, and the value that 5 % of shuffles of these pairs exceed.
    """
    work: ErasureWork = planned.work
    searched = searched_sample(context, settings, work.parts, ranked=True)
    scores: dict[str, Scores] = {}
    removed: list[pd.DataFrame] = []
    shared: list[pd.DataFrame] = []
    seconds: dict[str, float] = {}
    notes = _notes(context.collection, searched, work.parts)
    for side, retriever in context.models.items():
        stages = context.stages(retriever.name)
        stored = context.encoded(retriever).vectors
        texts = {tower: texts_of(retriever, searched, tower, settings.batch_tokens) for tower in TOWERS}
        trial = ErasureTrial(retriever, stored.bare() or stored, searched, work.parts, texts, work.measure, settings,
                             stages.named())  # fmt: skip
        measured = _measured(trial)
        scores |= {f"{side}/{name}": values for name, values in measured.scores.items()}
        removed.append(measured.removed.assign(side=side))
        shared.append(measured.shared.assign(side=side))
        notes += [f"{side}: {note}" for note in measured.notes]
        stages.ended("erasure")
        seconds |= {f"{side}: {stage}": duration for stage, duration in stages.seconds.items()}
    facts = {"measure": work.measure, "choices": settings.choices, "notes": notes}
    frames = {name: pd.concat(parts, ignore_index=True) for name, parts in (("removed", removed), ("shared", shared))}
    return Measurement(scores, frames, facts=facts, seconds=seconds,
                       caveats=tuple(f"erasure: {note}" for note in notes))  # fmt: skip


def _notes(whole: Collection, searched: Collection, parts: ErasureParts) -> list[str]:
    """Return notes on the numbers of training pairs, queries and passages, with a caveat if the queries are few."""
    queries, passages = len(searched.judged_queries), len(searched.passages)
    notes = [
        f"the erased directions were fitted on {len(parts.train):,} pairs; retrieval was measured with {queries:,} "
        f"held-out queries over {passages:,} of {len(whole.passages):,} passages",
        *few_queries(searched),
    ]
    return notes


@dataclass(frozen=True, eq=False)
class _OneModel:
    scores: dict[str, Scores]
    removed: pd.DataFrame
    shared: pd.DataFrame
    notes: list[str]


def _measured(trial: ErasureTrial) -> _OneModel:
    settings, layers = trial.settings, layers_of(trial.retriever, trial.settings)
    retrieved, readable, removed, shared, notes = [], [], [], [], list[str]()
    for layer in layers:
        pairs = trial.pairs(layer)
        erasures = dict(_erasures(pairs, settings)) if pairs.allows(max(settings.ranks)) else {}
        if not erasures:
            notes.append(f"the vectors of layer {layer} vary in too few directions, so nothing was erased there")
        retrieved.append(_retrieved(trial, layer, erasures))
        readable.append(_readable(trial, layer, erasures))
        removed += [
            {"layer": layer, "rank": rank, "variant": variant, "removed": float(np.mean([*erasure.removed.values()]))}
            for (rank, variant), erasure in erasures.items()
        ]
        shared += [_shared(pairs, trial.held_out(layer), layer, rank) for rank in settings.ranks if erasures]
    at = xr.Variable("layer", list(layers))
    intact = _searched(trial, {t: final[:, 0] for t, final in _intact(trial).items()})
    return _OneModel(
        {
            INTACT: intact,
            RETRIEVED: _like(intact, xr.concat(retrieved, at).transpose("query", "layer", "rank", "variant")),
            READABLE: _like(intact, xr.concat(readable, at).transpose("query", "layer", "rank", "state")),
        },
        pd.DataFrame(removed, columns=["layer", "rank", "variant", "removed"]),
        pd.DataFrame(shared, columns=["layer", "rank", "shared", "shared_shuffled"]),
        notes,
    )


def _shared(pairs: PairVectors, held_out: PairVectors, layer: int, rank: int) -> dict[str, float]:
    """Return the correlations of held-out pairs and of shuffled pairs along the directions fitted on training pairs."""
    real, shuffled = held_out_correlations(pairs, held_out, rank)
    return {"layer": layer, "rank": rank, "shared": real, "shared_shuffled": shuffled}


def _like(intact: Scores, values: xr.DataArray) -> Scores:
    """Return these values as `Scores`, with the query texts, relevant passages and warnings taken from `intact`."""
    ids = [str(query) for query in values["query"].values]
    texts = dict(zip(intact.query_ids, intact.values["text"].values.tolist(), strict=True))
    whole = values.drop_vars("text", errors="ignore")
    contiguous = whole.copy(data=np.ascontiguousarray(whole.values))  # as it is read again: sums agree to the last bit
    passages = {query: intact.passages[query] for query in ids}
    return Scores("erasure", contiguous, intact.recipe, intact.warnings, passages).with_texts(texts)


def _erasures(pairs: PairVectors, settings: ErasureSettings) -> Iterator[tuple[ErasedCell, Erasure]]:
    """Yield rank, variant and erasure at one layer: of training pairs, of shuffled pairs, or of a random subspace."""
    for rank in settings.ranks:
        erased = pair_erasure(pairs, rank)
        yield (rank, ERASED), erased
        for draw in range(settings.shuffles):
            yield (rank, f"{SHUFFLED}:{draw}"), pair_erasure(pairs.shuffled(settings.seed + draw), rank)
        for draw in range(settings.draws):
            seed = settings.seed + draw
            yield (rank, f"{RANK}:{draw}"), random_erasure(pairs, rank, seed)
            yield (rank, f"{VARIANCE}:{draw}"), random_erasure(pairs, rank, seed, erased)


def _intact(trial: ErasureTrial) -> dict[str, np.ndarray]:
    stored = {"query": trial.vectors.query, "passage": trial.vectors.passage}
    return {tower: vectors.final()[vectors.rows(trial.texts[tower].ids)][:, None] for tower, vectors in stored.items()}


def _searched(trial: ErasureTrial, final: Mapping[str, np.ndarray]) -> Scores:
    """Search with these final vectors and return the retrieval score of every query, (query,)."""
    query, passage = (representations_in_memory(trial.texts[t].ids, final[t][:, None]) for t in TOWERS)
    representations = RetrieverRepresentations(trial.retriever.name, query, passage, trial.retriever.similarity, {})
    return retrieve(representations, trial.searched, (trial.measure,)).scores.select(measure=trial.measure)


def _retrieved(trial: ErasureTrial, layer: int, erasures: Mapping[ErasedCell, Erasure]) -> xr.DataArray:
    """Return the retrieval scores after every erasure at one layer, (query, rank, variant)."""
    settings = trial.settings
    if erasures:
        vectors = {tower: _encoded(trial, layer, tower, erasures) for tower in TOWERS}
    else:
        intact = {tower: final[:, 0] for tower, final in _intact(trial).items()}
        every = [(rank, variant) for rank in settings.ranks for variant in settings.variants]
        vectors = {tower: dict.fromkeys(every, intact[tower]) for tower in TOWERS}
    parts = [
        xr.concat(
            [
                _searched(trial, {t: vectors[t][rank, variant] for t in TOWERS}).values.drop_vars("measure")
                for variant in settings.variants
            ],
            xr.Variable("variant", list(settings.variants)),
        )
        for rank in settings.ranks
    ]
    return xr.concat(parts, xr.Variable("rank", list(settings.ranks)))


def _encoded(
    trial: ErasureTrial, layer: int, tower: str, erasures: Mapping[ErasedCell, Erasure]
) -> dict[ErasedCell, np.ndarray]:
    texts = trial.texts[tower]
    edits = {cell: LayerEdit(layer, erasure.erasers[tower]) for cell, erasure in erasures.items()}
    report = _counter(trial.progress, f"erasure at layer {layer}: {tower} texts", len(texts.rows))
    vectors = edited_vectors(texts.encoder, texts.rows, edits, tokens=texts.tokens, on_batch=report)
    return {cell: final.numpy() for cell, final in vectors.items()}


def _counter(progress: Progress | None, what: str, total: int) -> Callable[[int], None]:
    done = 0

    def report(n: int) -> None:
        nonlocal done
        done += n
        if progress:
            progress(what, done, total)

    return report


def _readable(trial: ErasureTrial, layer: int, erasures: Mapping[ErasedCell, Erasure]) -> xr.DataArray:
    """Return the accuracy of the probe at one layer, (query, rank, state): on intact and on erased vectors."""
    choices = unrelated_choices(trial.searched, trial.searched.judged_queries, trial.settings.seed)
    ids = {"query": trial.texts["query"].ids, "passage": tuple(dict.fromkeys(c.positive for c in choices))}
    stored = {"query": trial.vectors.query, "passage": trial.vectors.passage}
    vectors = {t: torch.from_numpy(v.layer(layer)[v.rows(ids[t])]) for t, v in stored.items()}

    passage_texts = trial.searched.texts_of_passages(choices)

    def accuracy(erasure: Erasure | None) -> xr.DataArray:
        seen = {t: v if erasure is None else erasure.erasers[t](v) for t, v in vectors.items()}
        query, passage = (representations_in_memory(ids[t], seen[t].numpy()[:, None]) for t in TOWERS)
        representations = RetrieverRepresentations(trial.retriever.name, query, passage, trial.retriever.similarity, {})
        probed = probe(
            representations,
            choices,
            probe_settings(trial.settings),
            texts=trial.searched.query_texts,
            passage_texts=passage_texts,
        ).scores.values
        by_query: xr.DataArray = probed.squeeze(["probe", "control", "passages", "layer"], drop=True)
        return by_query

    intact = accuracy(None)
    return xr.concat([_states(intact, rank, erasures, accuracy) for rank in trial.settings.ranks],
                     xr.Variable("rank", list(trial.settings.ranks)))  # fmt: skip


def _states(
    intact: xr.DataArray,
    rank: int,
    erasures: Mapping[ErasedCell, Erasure],
    accuracy: Callable[[Erasure | None], xr.DataArray],
) -> xr.DataArray:
    """Return the accuracy of the probe at one layer and rank: intact, erased, and under the first random subspace."""
    names = {ERASED: ERASED, RANK: f"{RANK}:0"}
    seen: Sequence[Any] = [accuracy(erasures[rank, variant]) if erasures else intact for variant in names.values()]
    states: xr.DataArray = xr.concat([intact, *seen], xr.Variable("state", [INTACT, *names]))
    return states


INSTRUMENT = Instrument(refusal, plan, measure)
