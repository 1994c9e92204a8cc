"""Other trainings of the retriever: encoded, searched and probed as it was, for intervals over trainings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import xarray as xr

from retroscope.analyses.trainings.summary import PROBING, RETRIEVAL, TRAINING, without_controls
from retroscope.collection.collection import Collection
from retroscope.collection.negatives import MinedNegatives
from retroscope.encoders.encoder import Retriever
from retroscope.inputs.encoding import doubts, refuse_blind
from retroscope.inputs.pairing import recipe_differences, same_weights
from retroscope.inputs.provenance import truncation_caveats
from retroscope.probing.grid import probe
from retroscope.probing.settings import ProbeSettings
from retroscope.progress import Progress, Stages
from retroscope.representations.store import RetrieverRepresentations
from retroscope.retrieval.retrieve import retrieve
from retroscope.scores import Scores, align
from retroscope.study.extras import Extra
from retroscope.study.measure import Measured, encode
from retroscope.study.settings import StudySettings

LEARNED = "elementwise"  # the one fitted probe that every training is put to; the other is the similarity


@dataclass(frozen=True, eq=False)
class Trainings:
    """What was measured of the other trainings.

    Attributes:
        extra: scores of all trainings, the retriever first; caveats and times.
        vectors: of the other trainings.
    """

    extra: Extra = field(default_factory=Extra)
    vectors: tuple[RetrieverRepresentations, ...] = ()


def measure_trainings(
    sides: Mapping[str, Measured],
    sisters: Sequence[Retriever],
    collection: Collection,
    negatives: MinedNegatives,
    settings: StudySettings,
    *,
    cache: Path,
    progress: Progress | None = None,
) -> Trainings:
    """Measure other trainings of the retriever as it was measured: retrieval, and two probes without controls.

    Args:
        sides: "before" and "after", measured.
        sisters: the other trainings; none measures nothing.
        collection: that is searched.
        negatives: of the probes, those of both sides.
        settings: of the study.
        cache: folder of the vector stores.
        progress: told (what, done, total).

    Raises:
        EncoderError, AnalysisError: if a training gives different texts one vector.
    """
    if not sisters:
        return Trainings()
    after = sides["after"]
    named = distinct([after.retriever, *sisters])
    chosen = _probes(after, settings.probing)
    retrieval, probing, vectors = [after.retrieval.scores], [], []
    caveats = _same_training(named)
    seconds: dict[str, float] = {}
    for one in named[1:]:
        stages = Stages(f"{one.name} (another training)", progress)
        found, self_tests = encode(one, collection, cache, settings, stages)
        ranked = retrieve(found, collection, settings.retrieval.measures)
        refuse_blind(one, ranked, collection)
        stages.ended("retrieval")
        if chosen is not None:
            texts, told = collection.query_texts, stages.inside("probing")
            probing.append(probe(found, negatives.candidates, chosen, texts=texts, progress=told).scores)
            stages.ended("probing")
        retrieval.append(ranked.scores)
        vectors.append(found)
        caveats += [f"{one.name}, beside the retriever: {t}" for t in recipe_differences(after.retriever, one)]
        caveats += [f"{one.name}: {doubt}" for doubt in doubts(self_tests)]
        caveats += truncation_caveats(one.name, found.recipe)
        seconds |= {f"{one.name}: {stage}": s for stage, s in stages.seconds.items()}
    names = [one.name for one in named]
    scores = {RETRIEVAL: _together("retrieval of every training", retrieval, names)}
    if chosen is not None and after.probing is not None:
        all_read = [without_controls(s, chosen.chosen_probes) for s in (after.probing.scores, *probing)]
        scores[PROBING] = _together("probing of every training", all_read, names)
    return Trainings(Extra(scores, caveats, seconds), tuple(vectors))


def distinct(retrievers: Sequence[Retriever]) -> list[Retriever]:
    """Return the retrievers under different names: a name that occurs again gets a number, "e5 (2)"."""
    names: list[str] = []
    for one in retrievers:
        number, name = 2, one.name
        while name in names:
            name, number = f"{one.name} ({number})", number + 1
        names.append(name)
    return [replace(one, name=name) for one, name in zip(retrievers, names, strict=True)]


def _probes(after: Measured, settings: ProbeSettings) -> ProbeSettings | None:
    """The similarity probe and the learned one, of those that both sides were put to; None where neither was."""
    wanted = (after.retriever.similarity, LEARNED)
    names = tuple(name for name in wanted if name in settings.chosen_probes)
    if after.probing is None or not names or "none" not in after.probing.scores.values["control"].values:
        return None
    return replace(settings, probes=names, controls=("none",))


def _together(name: str, each: Sequence[Scores], names: Sequence[str]) -> Scores:
    """The scores of all trainings, (query, training, ...)."""
    first = each[0]
    parts = [first, *(align(first, other)[1] for other in each[1:])]
    values = xr.concat([part.values for part in parts], dim=TRAINING).assign_coords({TRAINING: list(names)})
    warnings = {f"{name}: {w}": None for name, part in zip(names, parts, strict=True) for w in part.warnings}
    return Scores(
        name, values.transpose("query", TRAINING, ...), first.recipe, tuple(warnings), passages=first.passages
    )


def _same_training(retrievers: Sequence[Retriever]) -> list[str]:
    """Say which trainings have the weights of an earlier one, and so are none of their own."""
    return [
        f"{other.name} has the weights of {one.name}: it is no other training, and intervals over trainings are too "
        "narrow"
        for place, other in enumerate(retrievers)
        for one in retrievers[:place]
        if all(same_weights(one.tower(tower), other.tower(tower)) for tower in ("query", "passage"))
    ]
