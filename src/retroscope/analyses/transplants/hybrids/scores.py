"""Retrieval scores of hybrids by query: every hybrid encodes queries and passages, and the collection is searched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import xarray as xr

from retroscope.analyses.transplants.hybrids.vectors import hybrid_vectors
from retroscope.analyses.transplants.settings import SweepSettings
from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.engine.choice import LOCAL, Engine
from retroscope.inputs.pairing import same_recipe
from retroscope.inputs.texts import TowerTexts, texts_of
from retroscope.progress import Progress, ProgressBy
from retroscope.representations.vectors import Representations, RetrieverRepresentations, representations_in_memory
from retroscope.retrieval.retrieve import retrieve
from retroscope.scores import Scores
from retroscope.surgery.ownership import HybridKey
from retroscope.surgery.transplant import DIRECTIONS

TOWERS = ("query", "passage")
SIDES = ("before", "after")  # the two of a hybrid, 0 and 1
Measured = dict[str, tuple[Scores, Scores]]  # direction -> the receiver intact, and its hybrids


@dataclass(frozen=True, eq=False)
class Sweep:
    """Inputs for measuring retrieval with hybrids of two models: models, collection, transplants and settings.

    Attributes:
        pair: backbone and retriever.
        names: names of the transplants. "none" is the intact receiver.
        measures: ir-measures names.
        stage: name under which progress is reported.
        texts: (index of the receiving model, tower) -> its tokenised texts (see `tokenised`).
        engine: where texts are encoded. It does not change the vectors.
    """

    pair: tuple[Retriever, Retriever]
    collection: Collection
    names: tuple[str, ...]
    measures: tuple[str, ...]
    settings: SweepSettings
    cache: Path
    progress: Progress | None = None
    stage: str = "transplants"
    texts: Mapping[tuple[int, str], TowerTexts] = field(default_factory=dict)
    engine: Engine = LOCAL

    @property
    def receivers(self) -> list[int]:
        """Return the indices of the models that receive weights: 0 (backbone), 1 (retriever), or both."""
        return sorted({receiver_of(direction) for direction in self.settings.directions})


def tokenised(sweep: Sweep) -> Sweep:
    """Return a copy of `sweep` whose texts are tokenised for each receiving model."""
    texts = {
        (side, tower): replace(
            texts_of(sweep.pair[side], sweep.collection, tower, sweep.settings.batch_tokens),
            precision=sweep.settings.precision,
        )
        for tower in TOWERS
        for side in sweep.receivers
    }
    return replace(sweep, texts=texts)


def hybrid_scores(sweep: Sweep) -> Measured:
    """Return direction -> retrieval scores of the receiving model, first unchanged and then with each transplant.

    Both have the dimensions (query, transplant, measure).

    Args:
        sweep: a sweep with tokenised texts (see `tokenised`).
    """
    vectors = {tower: _vectors(tower, sweep) for tower in TOWERS}
    return {direction: _scores(direction, vectors, sweep) for direction in sweep.settings.directions}


def run_alike(one: Encoder, two: Encoder) -> bool:
    """Return whether two encoders treat tokens and pooled vectors in the same way.

    Their hybrids can share forward passes if the texts also have the same tokens.
    """
    return same_recipe(one, two) and repr(one.head) == repr(two.head)


def receiver_of(direction: str) -> int:
    """Return the index of the model that receives weights: 1 (retriever) for "restored", 0 (backbone) for "grafted"."""
    return SIDES.index(DIRECTIONS[direction][0])


def _vectors(tower: str, sweep: Sweep) -> dict[HybridKey, Representations]:
    """Encode the queries or the passages by every hybrid, in both directions at once if the encoders allow it."""
    encoders = (sweep.pair[0].tower(tower), sweep.pair[1].tower(tower))
    receivers = sweep.receivers
    texts = {side: sweep.texts[side, tower] for side in receivers}
    together = len(receivers) == 2 and run_alike(*encoders) and texts[0].rows == texts[1].rows
    report = _counter(tower, sweep, sum(len(t.rows) for t in texts.values()), len(receivers) if together else 1)
    if together:
        keys = [(side, name) for side in receivers for name in sweep.names]
        return _in_memory(encoders, texts[0], keys, sweep, report)
    vectors: dict[HybridKey, Representations] = {}
    for side in receivers:
        turned = encoders if side == 0 else (encoders[1], encoders[0])
        of_side = _in_memory(turned, texts[side], [(0, name) for name in sweep.names], sweep, report)
        vectors |= {(side, name): vectors_of for (_, name), vectors_of in of_side.items()}
    return vectors


def _in_memory(
    encoders: tuple[Encoder, Encoder],
    texts: TowerTexts,
    keys: Sequence[HybridKey],
    sweep: Sweep,
    report: ProgressBy,
) -> dict[HybridKey, Representations]:
    vectors = hybrid_vectors(encoders, texts, keys, sweep.cache, report, engine=sweep.engine)
    return {key: representations_in_memory(texts.ids, final[:, None]) for key, final in vectors.items()}


def _counter(tower: str, sweep: Sweep, total: int, each: int) -> ProgressBy:
    """Return a function that reports how many of `total` texts are encoded.

    Args:
        each: number of directions that share one encoding of a text. The text counts once for each of them.
    """
    done = 0

    def report(n: int) -> None:
        nonlocal done
        done += n * each
        if sweep.progress:
            sweep.progress(f"{sweep.stage}: {tower} texts", done, total)

    return report


def _scores(
    direction: str, vectors: Mapping[str, Mapping[HybridKey, Representations]], sweep: Sweep
) -> tuple[Scores, Scores]:
    """Return the scores of the intact receiver and of its hybrids in one direction, (query, transplant, measure)."""
    side = receiver_of(direction)
    receiver, donor = sweep.pair[side], sweep.pair[1 - side]
    values = []
    for name in sweep.names:
        query, passage = (vectors[tower][side, name] for tower in TOWERS)
        hybrid = RetrieverRepresentations(receiver.name, query, passage, receiver.similarity, {})
        values.append(retrieve(hybrid, sweep.collection, sweep.measures).scores.values)
    whole = xr.concat(values, dim=xr.Variable("transplant", list(sweep.names)))
    changed = [name for name in sweep.names if name != "none"]
    hybrids = whole.sel(transplant=changed).transpose("query", "transplant", "measure")
    intact = xr.zeros_like(hybrids) + whole.sel(transplant="none", drop=True)
    recipe = {"direction": direction, "receiver": receiver.name, "donor": donor.name}
    relevant = sweep.collection.relevant
    return (
        Scores("transplants", intact, recipe, passages=relevant),
        Scores("transplants", hybrids, recipe, passages=relevant),
    )
