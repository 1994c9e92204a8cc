"""What moved between the two sides of a comparison: weights, representations, and what geometry alone would give."""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from retroscope.analyses.representations.result import SIMILARITY_COLUMNS, MovedFindings
from retroscope.analyses.weights.result import WeightFindings
from retroscope.collection.collection import Collection
from retroscope.collection.records import first_of_each
from retroscope.drift.geometry import whitening
from retroscope.drift.representations import DriftSettings, representation_drift
from retroscope.drift.weights import diff_weights, incomparable
from retroscope.encoders.checkpoints.tensors import weights_of
from retroscope.encoders.encoder import Encoder, Retriever
from retroscope.files import MARK, whole_folder
from retroscope.progress import Progress, Stages
from retroscope.representations.store import (
    Representations,
    RetrieverRepresentations,
    representations_in_memory,
)
from retroscope.retrieval.retrieve import retrieve
from retroscope.scores import Scores
from retroscope.statistics.jackknife import GROUPS as OF_JACKKNIFE
from retroscope.study.measure import Measured

FRAMES = ("similarity", "shape", "cross")
TENSORS, GROUPS = "tensors", "groups"
OF_TOWER = ["tower", "before_name", "after_name"]
BOTH = "query and passage"
COARSE = (
    "loaded in half precision, so their change includes its rounding and their ranks were left out; `retroscope diff` "
    "reads the files"
)
MOST_WHITENED = 2**28  # numbers of the passages' final vectors, of which whitening holds a few copies


def why_not(before: Retriever, after: Retriever, collection: Collection) -> str:
    """Why what moved cannot be measured; empty where it can. Known before anything is encoded."""
    for tower in ("query", "passage"):
        reason = incomparable(before.tower(tower).anatomy, after.tower(tower).anatomy)
        if reason:
            return reason
    needed = 2 * OF_JACKKNIFE
    ids = {"query": collection.queries, "passage": collection.passages}
    found = [
        sum(1 for _ in islice(first_of_each(map(text, ids[t])), needed)) for t, text in texts_by_id(collection).items()
    ]
    few, tower = min(zip(found, texts_by_id(collection), strict=True))
    return f"{few} distinct {tower} texts are too few for its intervals ({needed} are needed)" if few < needed else ""


def texts_by_id(collection: Collection) -> dict[str, Callable[[str], str]]:
    """Tower -> the text of an id, by which identical texts count once."""
    return {"query": lambda i: collection.queries[i].text, "passage": collection.passage_text}


def measure_moved(
    sides: Mapping[str, Measured],
    collection: Collection,
    settings: DriftSettings,
    *,
    twin: RetrieverRepresentations | None = None,
    sisters: Sequence[RetrieverRepresentations] = (),
    progress: Progress | None = None,
) -> tuple[MovedFindings, dict[str, float]]:
    """What moved, and the seconds of each stage.

    Args:
        sides: "before" and "after", measured.
        collection: its judged pairs are those of alignment.
        settings: sample, intervals, spectra.
        twin: vectors of the random-weight twin of the model before.
        sisters: vectors of other trainings of the model after.
        progress: told (what, done, total).
    """
    before, after = sides["before"], sides["after"]
    stages = Stages("what moved", progress)
    weights = _weights(before.retriever, after.retriever, settings, stages)
    stages.ended("weights")
    found = representation_drift(
        before.vectors,
        after.vectors,
        judged_pairs(collection),
        twin=twin,
        sisters=sisters,
        text_of=texts_by_id(collection),
        settings=settings,
        progress=stages.inside("representations"),
    )
    stages.ended("representations")
    return MovedFindings(weights, found.similarity, found.shape, found.cross, found.texts), stages.seconds


def bare_representations(
    sides: Mapping[str, Measured],
    collection: Collection,
    settings: DriftSettings,
    *,
    twin: RetrieverRepresentations | None = None,
    sisters: Sequence[RetrieverRepresentations] = (),
    progress: Progress | None = None,
) -> MovedFindings | None:
    """Compare the layers as the blocks leave them; None where `measure_moved` reads them so."""
    before, after = (side.vectors.bare() for side in sides.values())
    if before is None or after is None:
        return None
    found = representation_drift(
        before,
        after,
        judged_pairs(collection),
        twin=None if twin is None else twin.bare(),
        sisters=[bare for sister in sisters if (bare := sister.bare()) is not None],
        text_of=texts_by_id(collection),
        settings=settings,
        progress=Stages("what moved", progress).inside("representations, no norm"),
    )
    return MovedFindings({}, found.similarity, found.shape, found.cross, found.texts)


def judged_pairs(collection: Collection) -> list[tuple[str, str]]:
    """Every judged query and its first relevant passage."""
    return [
        (query, next(p for p, grade in collection.qrels[query].items() if grade > 0))
        for query in collection.judged_queries
    ]


def _weights(before: Retriever, after: Retriever, settings: DriftSettings, stages: Stages) -> dict[str, WeightFindings]:
    """Of every tower with weights of its own, on either side."""
    shared = all(r.query.backbone is r.passage.backbone for r in (before, after))
    towers = {BOTH: "passage"} if shared else {"query": "query", "passage": "passage"}
    return {
        said: _tower_weights(before.tower(tower), after.tower(tower), settings, stages)
        for said, tower in towers.items()
    }


def _tower_weights(one: Encoder, two: Encoder, settings: DriftSettings, stages: Stages) -> WeightFindings:
    single = one.backbone.dtype == two.backbone.dtype == torch.float32
    found = diff_weights(
        weights_of(one.backbone, one.name),
        weights_of(two.backbone, two.name),
        spectra=settings.spectra and single,
        directions=settings.directions,
        progress=stages.inside("weights"),
    )
    notes = found.notes if single else (*found.notes, COARSE)
    return WeightFindings(one.name, two.name, one.anatomy.n_blocks, found.tensors, found.groups, notes)


def whitened(vectors: RetrieverRepresentations, collection: Collection, measures: tuple[str, ...]) -> Scores | None:
    """Retrieval with final vectors whitened by the passages: what geometry alone gives, since it knows no query.

    None where the passages are too many to hold (2^28 numbers).
    """
    if int(np.prod(vectors.passage.store.final.shape)) > MOST_WHITENED:
        return None
    mean, matrix = whitening(vectors.passage.final())
    query, passage = (_turned(side, mean, matrix) for side in (vectors.query, vectors.passage))
    recipe = {**vectors.recipe, "whitened": "by mean and covariance of the passages"}
    made = RetrieverRepresentations(vectors.name, query, passage, vectors.similarity, recipe, vectors.warnings)
    return retrieve(made, collection, measures).scores


def _turned(side: Representations, mean: np.ndarray, matrix: np.ndarray) -> Representations:
    final = ((side.final() - mean) @ matrix).astype(np.float32)
    return representations_in_memory(list(side.ids), final[:, None], final)


def save_moved(moved: MovedFindings, folder: Path) -> None:
    """Write every table as parquet, in place of an earlier run's."""
    with whole_folder(folder) as new:
        for name in FRAMES:
            getattr(moved, name).to_parquet(new / f"{name}.parquet", index=False)
        for name in (TENSORS, GROUPS):
            parts = [
                getattr(f, name).assign(tower=tower, before_name=f.before, after_name=f.after)
                for tower, f in moved.weights.items()
            ]
            whole = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"tower": []})
            whole.to_parquet(new / f"{name}.parquet", index=False)
        counts = pd.DataFrame({"tower": list(moved.texts), "texts": list(moved.texts.values())})
        counts.to_parquet(new / "texts.parquet", index=False)


def load_moved(n_blocks: int, folder: Path) -> MovedFindings | None:
    """What `save_moved` wrote; None where nothing was."""
    if not (folder / MARK).exists():
        return None
    frames = {name: pd.read_parquet(folder / f"{name}.parquet") for name in (*FRAMES, TENSORS, GROUPS, "texts")}
    weights = {}
    for tower, tensors in frames[TENSORS].groupby("tower", sort=False):
        groups = frames[GROUPS][frames[GROUPS]["tower"] == tower]
        names = groups["before_name"].iloc[0], groups["after_name"].iloc[0]
        plain = (
            f.drop(columns=["tower", "before_name", "after_name"]).reset_index(drop=True) for f in (tensors, groups)
        )
        weights[str(tower)] = WeightFindings(*names, n_blocks, *plain)
    texts = {str(row.tower): int(row.texts) for row in frames["texts"].itertuples()}
    similarity = frames["similarity"]
    if "halves" not in similarity:  # an older study called it the ceiling
        similarity = similarity.rename(columns={"ceiling": "halves"})
    similarity = similarity.reindex(columns=list(SIMILARITY_COLUMNS))  # ... and had no sister
    return MovedFindings(weights, similarity, frames["shape"], frames["cross"], texts)
