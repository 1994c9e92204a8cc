"""One retriever on one collection: what `retrieve` and `probe` say."""

import shutil
from pathlib import Path
from typing import Any

from retroscope.collection.collection import Collection
from retroscope.documents import SCHEMA, clean
from retroscope.encoders.encoder import Retriever
from retroscope.inputs.encoding import doubts
from retroscope.inputs.provenance import collection_facts, model_facts, negative_notes, software, truncation_caveats
from retroscope.probing.result import ProbeResult
from retroscope.progress import Progress
from retroscope.retrieval.measures import depth_caveats
from retroscope.retrieval.retrieve import check_measures
from retroscope.retrieval.runs import write_run
from retroscope.scores import Scores
from retroscope.statistics.summaries import summarise
from retroscope.study.compare import mine
from retroscope.study.measure import Measured, measure, ranking_caveats, twin_of
from retroscope.study.protocols import departures
from retroscope.study.settings import StudySettings, plain
from retroscope.study.summary import measure_table

Document = dict[str, Any]


def run_retrieval(
    retriever: Retriever, collection: Collection, settings: StudySettings, cache: Path, progress: Progress | None = None
) -> tuple[Measured, Document]:
    """Encode and retrieve; the document of `retrieve --json`."""
    check_measures(settings.retrieval.measures, collection)
    measured = measure(retriever, collection, None, settings, cache=cache, progress=progress)
    document = {
        **_head(measured, collection, settings),
        "measures": measure_table(measured.retrieval.scores, settings.statistics),
        "layers": _layer_records(measured.layers, settings),
        "bare_layers": _layer_records(measured.bare_layers, settings),
    }
    return measured, document


def run_probes(
    retriever: Retriever, collection: Collection, settings: StudySettings, cache: Path, progress: Progress | None = None
) -> tuple[Measured, Document]:
    """Encode, mine hard negatives and probe; the document of `probe --json`."""
    check_measures(settings.retrieval.measures, collection)
    negatives = mine(collection, settings)
    twin = twin_of(retriever, collection, cache, settings, progress)
    measured = measure(retriever, collection, negatives, settings, cache=cache, twin=twin, progress=progress)
    document = {**_head(measured, collection, settings), "collection": collection_facts(collection, negatives)}
    if measured.probing is None:
        return measured, document
    probed = _probed(measured.probing, settings)
    doubts = [*negative_notes(negatives), *below_chance(probed["records"], retriever.similarity)]
    bare = [] if measured.bare_probing is None else measured.bare_probing.records(settings.statistics.level)
    told = {**probed, "bare_records": clean(bare), "warnings": [*probed["warnings"], *doubts]}
    return measured, {**document, **told}


def below_chance(records: list[Document], similarity: str) -> list[str]:
    """Return a warning where the similarity probe's interval, at the largest N, lies below chance at some layer."""
    hardest = max((r["n_passages"] for r in records), default=0)  # 0: only code lengths were measured
    low = [
        r
        for r in records
        if (r["probe"], r["control"], r["n_passages"]) == (similarity, "none", hardest) and r["ci_high"] < 1 / hardest
    ]
    if not low:
        return []
    worst = min(low, key=lambda r: r["accuracy"])
    return [
        f"{similarity} reads below chance at {len(low)} layers (the least, {worst['accuracy']:.3f} at layer "
        f"{worst['layer']}; chance is {1 / hardest:.3f}): hard negatives are nearer to the query than the judged "
        "passage; some may be relevant and not judged"
    ]


def _probed(probed: ProbeResult, settings: StudySettings) -> Document:
    return {
        "records": clean(probed.records(settings.statistics.level)),
        "mdl": [] if probed.mdl is None else _mdl_records(probed.mdl, settings),
        "split_sizes": probed.recipe["split_sizes"],
        "warnings": [*probed.warnings, *probed.left_out],
    }


def save_single(measured: Measured, folder: Path) -> None:
    """Scores (`single.zarr`, made anew) and run below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    store = folder / "single.zarr"
    shutil.rmtree(store, ignore_errors=True)  # no group of an earlier run may stand beside these
    for name, scores in measured.scores.items():
        scores.save(store, name)
    write_run(measured.retrieval.run, folder / "retrieval.run", tag=measured.retriever.name)


def _head(measured: Measured, collection: Collection, settings: StudySettings) -> Document:
    name = measured.retriever.name
    return {
        "schema": SCHEMA,
        "model": model_facts(measured.retriever, measured.self_tests),
        "collection": collection_facts(collection, None),
        "caveats": [
            *departures(settings),
            *depth_caveats(settings.retrieval.measures, len(collection.passages)),
            *collection.notes,
            *doubts(measured.self_tests),
            *truncation_caveats(name, measured.vectors.recipe),
            *ranking_caveats(name, measured),
        ],
        "settings": plain(settings),
        "versions": software(),
        "timings": measured.seconds,
    }


def _layer_records(layers: Scores | None, settings: StudySettings) -> list[Document]:
    if layers is None:
        return []
    frame = summarise(layers, settings.statistics.intervals).to_dataframe().reset_index()
    return [clean(row) for row in frame.to_dict(orient="records")]


def _mdl_records(mdl: Scores, settings: StudySettings) -> list[Document]:
    """Mean online code length of a query, in bits, of every cell."""
    frame = summarise(mdl, settings.statistics.intervals).to_dataframe().reset_index()
    renamed = frame.rename(columns={"passages": "n_passages", "mean": "bits"})
    return [clean(row) for row in renamed.to_dict(orient="records")]
