"""What a comparison measures besides retrieval, probes and neurons: each gives its scores, and what to know of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Retriever
from retroscope.reporting.moved_findings import MovedFindings
from retroscope.representations.store import RetrieverRepresentations
from retroscope.scores import Scores
from retroscope.study.elsewhere import measure_elsewhere
from retroscope.study.measure import Measured, Progress, Stages, encode
from retroscope.study.moved import measure_moved, whitened
from retroscope.study.recipes import check_pair
from retroscope.study.settings import StudySettings
from retroscope.study.study import ELSEWHERE, HYBRIDS
from retroscope.study.transplants import measure_transplants


@dataclass(frozen=True, eq=False)
class Extra:
    """One more analysis of a pair.

    Attributes:
        scores: as in `Study.scores`.
        caveats: what a reader must know.
        timings: stage -> seconds.
        facts: what else of it a study keeps.
        moved: representations (and weights), compared.
    """

    scores: dict[str, Scores] = field(default_factory=dict)
    caveats: list[str] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    moved: MovedFindings | None = None


def what_moved(
    sides: Mapping[str, Measured],
    collection: Collection,
    settings: StudySettings,
    cache: Path,
    *,
    twin: RetrieverRepresentations | None = None,
    sister: Retriever | None = None,
    progress: Progress | None = None,
) -> Extra:
    """Weights and representations of both sides, and retrieval with whitened vectors where they fit into memory."""
    if settings.drift is None:
        return Extra()
    other = None
    if sister is not None:
        check_pair(sides["after"].retriever, sister)
        stages = Stages(f"{sister.name} (another training)", progress)
        other, _ = encode(sister, collection, cache, settings, stages)
    moved, seconds = measure_moved(sides, collection, settings.drift, twin=twin, sister=other, progress=progress)
    measures = settings.retrieval.measures
    white = {name: whitened(side.vectors, collection, measures) for name, side in sides.items()}
    scores = {f"{name}/whitened": found for name, found in white.items() if found is not None}
    caveats = [f"weights: {note}" for f in moved.weights.values() for note in f.notes]
    if len(scores) < len(white):
        caveats.append("retrieval with whitened vectors was not measured: the passages are too many to hold")
    return Extra(scores, caveats, {f"moved: {stage}": s for stage, s in seconds.items()}, moved=moved)


def transplanted(
    before: Retriever,
    after: Retriever,
    collection: Collection,
    settings: StudySettings,
    cache: Path,
    *,
    progress: Progress | None = None,
) -> Extra:
    """Retrieval with hybrids of the two."""
    if settings.transplants is None:
        return Extra()
    start = perf_counter()
    swept, said = measure_transplants(before, after, collection, settings.transplants, cache=cache, progress=progress)
    scores = {f"{d}/{name}": s for d, pair in swept.items() for name, s in zip(HYBRIDS, pair, strict=True)}
    return Extra(scores, timings={"transplants": perf_counter() - start}, facts={"transplants": said})


def what_moved_elsewhere(
    before: Retriever,
    after: Retriever,
    collection: Collection | None,
    settings: StudySettings,
    cache: Path,
    *,
    progress: Progress | None = None,
) -> Extra:
    """Retrieval and representations on a second collection, if there is one."""
    if collection is None:
        return Extra()
    found = measure_elsewhere(before, after, collection, settings, cache=cache, progress=progress)
    return Extra(
        {f"{name}/{ELSEWHERE}": scores for name, scores in found.scores.items()},
        [f"{found.collection}: {note}" for note in collection.notes],
        found.seconds,
        {ELSEWHERE: found.collection},
        found.moved,
    )
