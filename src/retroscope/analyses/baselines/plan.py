"""What the baselines will do and how long it takes, said before they start."""

from collections.abc import Mapping
from typing import Any

from retroscope.analyses.baselines.settings import BaselineSettings
from retroscope.analyses.baselines.variants import seconds_each, trial
from retroscope.analyses.baselines.vectors import applicable, repooled
from retroscope.analyses.representations.measure import MOST_WHITENED
from retroscope.collection.collection import Collection
from retroscope.encoders.encoder import Retriever
from retroscope.errors import AnalysisError
from retroscope.study.settings import StudySettings


def other_poolings(retrievers: Mapping[str, Retriever], settings: BaselineSettings | None) -> dict[str, Retriever]:
    """Return the backbone under the other poolings, by its role; empty where there is no pair or nothing to try."""
    before = retrievers.get("before")
    if settings is None or before is None:
        return {}
    names, _ = applicable(before, settings.poolings)
    return {f"before, pooled by {', '.join(names)}": repooled(before, names)} if names else {}


def plan_baselines(
    retrievers: Mapping[str, Retriever], collection: Collection, settings: StudySettings
) -> dict[str, Any]:
    """Return how many views of the texts are searched, and the estimated seconds; empty where nothing is.

    A view is one pooling and layer of one model: raw, whitened, and with a linear head.
    """
    before, after = (retrievers.get(side) for side in ("before", "after"))
    if settings.baselines is None or before is None or after is None:
        return {}
    dim = int(before.passage.backbone.config.hidden_size)
    if dim * len(collection.passages) > MOST_WHITENED:
        return {}
    try:
        asked = trial(collection, settings.retrieval.measures, after.similarity, settings.baselines)
    except AnalysisError:
        return {}  # the comparison says why, as a caveat
    names, _ = applicable(before, settings.baselines.poolings)
    models = 3 if "random_weights" in settings.probing.chosen_controls else 2
    views = (models + len(names)) * (before.passage.anatomy.n_blocks + 1)
    return {"views": views, "head": asked.head, "seconds": round(views * seconds_each(collection, dim, asked), 1)}


def baselines_line(plan: Mapping[str, Any]) -> str:
    """The same in words."""
    how = "raw, whitened and with a linear head" if plan["head"] else "raw and whitened"
    return f"baselines: {plan['views']} poolings and layers are searched, {how}, about {plan['seconds']:,.0f} s"
