"""What a comparison measures besides retrieval, probes and neurons: each gives its scores, and what to know of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from retroscope.analyses.representations.elsewhere import measure_elsewhere
from retroscope.analyses.representations.measure import bare_representations, measure_moved, whitened
from retroscope.analyses.representations.result import MovedFindings
from retroscope.analyses.transplants.infer import HYBRIDS, RANDOM_CHANGES, SUBSETS
from retroscope.analyses.transplants.measure import measure_transplants
from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Retriever
from retroscope.inputs.sampled import is_sampled
from retroscope.inputs.whole_search import WholeSearch, whole_search
from retroscope.progress import Progress
from retroscope.representations.store import RetrieverRepresentations
from retroscope.retrieval.measures import depth
from retroscope.scores import Scores
from retroscope.study.measure import Measured
from retroscope.study.settings import StudySettings
from retroscope.study.study import ELSEWHERE


@dataclass(frozen=True, eq=False)
class Extra:
    """One more analysis of a pair.

    Attributes:
        scores: as in `Study.scores`.
        caveats: what a reader must know.
        timings: stage -> seconds.
        facts: what else of it a study keeps.
        moved: representations (and weights), compared.
        bare: representations of layers without the final norm, compared.
    """

    scores: dict[str, Scores] = field(default_factory=dict)
    caveats: list[str] = field(default_factory=list)
    timings: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    moved: MovedFindings | None = None
    bare: MovedFindings | None = None


def what_moved(
    sides: Mapping[str, Measured],
    collection: Collection,
    settings: StudySettings,
    *,
    twin: RetrieverRepresentations | None = None,
    sisters: Sequence[RetrieverRepresentations] = (),
    progress: Progress | None = None,
) -> Extra:
    """Weights and representations of both sides, and retrieval with whitened vectors where they fit into memory."""
    if settings.drift is None:
        return Extra()
    moved, seconds = measure_moved(sides, collection, settings.drift, twin=twin, sisters=sisters, progress=progress)
    bare = bare_representations(sides, collection, settings.drift, twin=twin, sisters=sisters, progress=progress)
    measures = settings.retrieval.measures
    white = {name: whitened(side.vectors, collection, measures) for name, side in sides.items()}
    scores = {f"{name}/whitened": found for name, found in white.items() if found is not None}
    caveats = [f"weights: {note}" for f in moved.weights.values() for note in f.notes]
    if len(scores) < len(white):
        caveats.append("retrieval with whitened vectors was not measured: the passages are too many to hold")
    return Extra(scores, caveats, {f"moved: {stage}": s for stage, s in seconds.items()}, moved=moved, bare=bare)


def transplanted(
    before: Retriever,
    after: Retriever,
    collection: Collection,
    settings: StudySettings,
    cache: Path,
    *,
    whole: WholeSearch | None = None,
    progress: Progress | None = None,
) -> Extra:
    """Retrieval with hybrids of the two; `whole` is what the intact models find (`searched_whole`)."""
    if settings.transplants is None:
        return Extra()
    start = perf_counter()
    chosen = replace(settings.transplants, measures=settings.transplants.measures or settings.retrieval.measures)
    found = measure_transplants(
        before, after, collection, chosen, settings.paired_statistics, cache=cache, whole=whole, progress=progress
    )
    scores = {f"{d}/{name}": s for d, pair in found.hybrids.items() for name, s in zip(HYBRIDS, pair, strict=True)}
    scores |= {f"{d}/{RANDOM_CHANGES}": s for d, s in found.random.items()}
    scores |= {f"{d}/{SUBSETS}": s for d, s in found.subsets.items()}
    told = [f"transplants: {text}" for text in found.caveats if text not in collection.notes]
    facts = {"transplants": list(found.caveats), "transplants_sample": list(found.sample)}
    return Extra(scores, told, {"transplants": perf_counter() - start}, facts)


def searched_whole(
    sides: Mapping[str, Measured], collection: Collection, settings: StudySettings
) -> WholeSearch | None:
    """Return what both intact models and BM25 find, where a sample is drawn by it; else None."""
    sampling = [s for s in (settings.transplants, settings.ablation) if s and is_sampled(collection, s.passages)]
    if not sampling:
        return None
    measures = [name for s in sampling for name in s.measures or settings.retrieval.measures]
    return whole_search(collection, {side.retriever.name: side.vectors for side in sides.values()}, depth(measures))


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
        [*(f"{found.collection}: {note}" for note in collection.notes), *found.caveats],
        found.seconds,
        {ELSEWHERE: found.collection},
        found.moved,
    )
