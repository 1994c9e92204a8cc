"""Per-query scores of hybrids: both towers encoded under every transplant, and searched with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from retroscope.analyses.transplants.settings import DIRECTIONS, SweepSettings
from retroscope.analyses.transplants.vectors import hybrid_vectors
from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.inputs.pairing import same_recipe
from retroscope.inputs.texts import TowerTexts, texts_of
from retroscope.progress import Progress
from retroscope.representations.store import RetrieverRepresentations, representations_in_memory
from retroscope.retrieval.measures import DEFAULT_MEASURES
from retroscope.retrieval.retrieve import retrieve
from retroscope.scores import Scores

TOWERS = ("query", "passage")
MEASURES = DEFAULT_MEASURES[:2]  # where neither sweep nor study names any; the headline is that of a comparison
SIDES = ("before", "after")  # the two of a hybrid, 0 and 1
Measured = dict[str, tuple[Scores, Scores]]  # direction -> the receiver intact, and its hybrids


@dataclass(frozen=True)
class Hybrids:
    """Hybrids of one pair over one collection: their names, and how they are measured."""

    pair: tuple[Retriever, Retriever]
    collection: Collection
    names: tuple[str, ...]
    settings: SweepSettings
    cache: Path
    progress: Progress | None
    stage: str = "transplants"  # what progress is told


def hybrid_scores(run: Hybrids) -> Measured:
    """Return, for each direction, the intact receiver and its hybrids by (query, transplant, measure)."""
    vectors = {tower: _vectors(tower, run) for tower in TOWERS}
    return {direction: _scores(direction, vectors, run) for direction in run.settings.directions}


def run_alike(one: Encoder, two: Encoder) -> bool:
    """Whether both may receive in one run: the same tokens are treated alike, and vectors have one width."""
    return same_recipe(one, two) and repr(one.head) == repr(two.head)


def receiver_of(direction: str) -> int:
    """Which of the two, 0 or 1, gets the other's weights."""
    return SIDES.index(DIRECTIONS[direction][0])


def _vectors(tower: str, run: Hybrids) -> dict[tuple[int, str], Any]:
    """The final vectors of one tower's texts under every transplant, both directions together where they can be."""
    encoders = (run.pair[0].tower(tower), run.pair[1].tower(tower))
    receivers = sorted({receiver_of(direction) for direction in run.settings.directions})
    texts = {r: texts_of(run.pair[r], run.collection, tower, run.settings.batch_tokens) for r in receivers}
    together = len(receivers) == 2 and run_alike(*encoders) and texts[0].rows == texts[1].rows
    told = _counter(tower, run, sum(len(t.rows) for t in texts.values()), len(receivers) if together else 1)
    if together:
        wanted = [(r, name) for r in receivers for name in run.names]
        return _held(encoders, texts[0], wanted, run, told)
    made: dict[tuple[int, str], Any] = {}
    for r in receivers:
        turned = encoders if r == 0 else (encoders[1], encoders[0])
        found = _held(turned, texts[r], [(0, name) for name in run.names], run, told)
        made |= {(r, name): vectors for (_, name), vectors in found.items()}
    return made


def _held(
    encoders: tuple[Encoder, Encoder],
    texts: TowerTexts,
    wanted: Sequence[tuple[int, str]],
    run: Hybrids,
    told: Callable[[int], None],
) -> dict[tuple[int, str], Any]:
    found = hybrid_vectors(encoders, texts, wanted, run.cache, told)
    return {key: representations_in_memory(texts.ids, final[:, None]) for key, final in found.items()}


def _counter(tower: str, run: Hybrids, total: int, each: int) -> Callable[[int], None]:
    """Tells of texts: `total` of all directions, `each` directions at a time."""
    done = 0

    def told(n: int) -> None:
        nonlocal done
        done += n * each
        if run.progress:
            run.progress(f"{run.stage}: {tower} texts", done, total)

    return told


def _scores(
    direction: str, vectors: Mapping[str, Mapping[tuple[int, str], Any]], run: Hybrids
) -> tuple[Scores, Scores]:
    """The receiver intact and its hybrids, by (query, transplant, measure)."""
    side = receiver_of(direction)
    receiver, donor = run.pair[side], run.pair[1 - side]
    values = []
    for name in run.names:
        query, passage = (vectors[tower][side, name] for tower in TOWERS)
        made = RetrieverRepresentations(receiver.name, query, passage, receiver.similarity, {})
        values.append(retrieve(made, run.collection, run.settings.measures or MEASURES).scores.values)
    whole = xr.concat(values, dim=xr.Variable("transplant", list(run.names)))
    changed = [name for name in run.names if name != "none"]
    hybrids = whole.sel(transplant=changed).transpose("query", "transplant", "measure")
    intact = xr.zeros_like(hybrids) + whole.sel(transplant="none", drop=True)
    recipe = {"direction": direction, "receiver": receiver.name, "donor": donor.name}
    relevant = run.collection.relevant
    return (
        Scores("transplants", intact, recipe, passages=relevant),
        Scores("transplants", hybrids, recipe, passages=relevant),
    )
