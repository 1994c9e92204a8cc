"""The same pair on a second collection: has fine-tuning moved texts of another kind as far, and did it help there?"""

from dataclasses import dataclass, replace
from pathlib import Path

from retroscope.analyses.representations.measure import judged_pairs, texts_by_id
from retroscope.analyses.representations.result import MovedFindings
from retroscope.collection.collection import Collection
from retroscope.drift.representations import representation_drift
from retroscope.encoders.encoder import Retriever
from retroscope.errors import CollectionError
from retroscope.inputs.provenance import truncation_caveats
from retroscope.progress import Progress, Stages
from retroscope.scores import Scores
from retroscope.study.measure import measure
from retroscope.study.settings import RetrievalSettings, StudySettings


@dataclass(frozen=True, eq=False)
class Elsewhere:
    """What was measured on the second collection.

    Attributes:
        collection: its name.
        scores: retrieval of "before" and "after".
        moved: representations, compared; no weights.
        seconds: stage -> time it took.
        caveats: texts that were cut.
    """

    collection: str
    scores: dict[str, Scores]
    moved: MovedFindings
    seconds: dict[str, float]
    caveats: tuple[str, ...] = ()


def refuse_same_texts(collection: Collection, elsewhere: Collection) -> None:
    """Refuse a second collection whose passages are the first's, whatever is asked of them."""
    one, two = collection.passages, elsewhere.passages
    if len(one) == len(two) and all(mine == theirs for mine, theirs in zip(one.values(), two.values(), strict=True)):
        raise CollectionError(
            "the second collection has the first one's passages",
            where=elsewhere.source,
            fix="name another kind of text",
        )


def measure_elsewhere(
    before: Retriever,
    after: Retriever,
    collection: Collection,
    settings: StudySettings,
    *,
    cache: Path,
    progress: Progress | None = None,
) -> Elsewhere:
    """Retrieval of both on the collection, and their vectors compared; nothing is probed there.

    Args:
        before: the backbone.
        after: the retriever fine-tuned from it.
        collection: the second one.
        settings: of every room.
        cache: folder of the vector stores.
        progress: told (what, done, total).
    """
    only = replace(settings, retrieval=RetrievalSettings(measures=settings.retrieval.measures, layers=False))
    sides = {
        name: measure(retriever, collection, None, only, cache=cache, progress=progress)
        for name, retriever in (("before", before), ("after", after))
    }
    stages = Stages(f"elsewhere ({collection.name})", progress)
    found = representation_drift(
        sides["before"].vectors,
        sides["after"].vectors,
        judged_pairs(collection),
        text_of=texts_by_id(collection),
        settings=settings.drift,
        progress=stages.inside("representations"),
    )
    stages.ended("representations")
    moved = MovedFindings({}, found.similarity, found.shape, found.cross, found.texts)
    times = {f"elsewhere, {n}: {stage}": s for n, side in sides.items() for stage, s in side.seconds.items()}
    times |= {f"elsewhere: {stage}": s for stage, s in stages.seconds.items()}
    cut = tuple(
        f"{collection.name}: {text}"
        for name, side in sides.items()
        for text in truncation_caveats(name, side.vectors.recipe)
    )
    return Elsewhere(collection.name, {n: side.retrieval.scores for n, side in sides.items()}, moved, times, cut)
