"""Test and report the domain shift of every collection from the first, based on sampled passages."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from retroscope.analyses.analysis import Reporter
from retroscope.analyses.measurement import Measurement
from retroscope.analyses.retrieval.result import RetrievalResult
from retroscope.analyses.section import Reading, Section
from retroscope.analyses.shift.result import CollectionShift, ShiftResult
from retroscope.analyses.shift.tables import shift_table
from retroscope.analyses.shift.words import shift_statements
from retroscope.drift.settings import ShiftSettings
from retroscope.drift.shift import WORDS_THRESHOLD, PassageSample, domain_shift, sample_size
from retroscope.files.documents import clean
from retroscope.statistics.resampling.jackknife import fewest_texts
from retroscope.typesetting.subject import AFTER, BEFORE


def infer(measurements: Sequence[Measurement], reading: Reading) -> ShiftResult | None:
    """Return the domain shift of every other collection from the first, or None if there is only one collection."""
    first = reading.subject.collections[0].name
    samples = {measurement.collection: _sample(measurement) for measurement in measurements}
    if first not in samples or len(samples) < 2:
        return None
    settings = ShiftSettings(**measurements[0].facts["settings"])
    reference, retrieved = samples[first], reading.result("retrieval", RetrievalResult)
    effects = (
        {}
        if retrieved is None
        else {on_collection.collection: on_collection.effect for on_collection in retrieved.by_collection}
    )

    def shift_of(name: str, other: PassageSample | None) -> CollectionShift:
        n = sample_size(len(reference), None if other is None else len(other), settings.texts)
        rows = domain_shift(reference, other, settings)
        return CollectionShift(name, rows, 2 * n, effects.get(name))

    enough = sample_size(len(reference), None, settings.texts) >= fewest_texts(settings.neighbours)
    others = tuple(shift_of(name, sample) for name, sample in samples.items() if name != first)
    return ShiftResult(first, shift_of(first, None) if enough else None, others, settings.level)


def report(result: ShiftResult, reading: Reading) -> Section:
    """Return the report section: whether each collection is of another domain than the first, and a control."""
    every = [*([result.control] if result.control else []), *result.others]
    frame = pd.concat([shift.numbers.assign(collection=shift.collection) for shift in every], ignore_index=True)
    return Section(
        statements=shift_statements(result),
        tables={"shift": shift_table(result, reading.subject)},
        frames={"shift": frame},
        methods={"Domain shift": {"interval": "delete-a-group jackknife over passages", "level": result.level,
                                  "threshold of words": WORDS_THRESHOLD, "reference": result.reference}},
        document=[_first(result), *(_document(shift) for shift in result.others)],
        values={"reference": result.reference, "threshold": WORDS_THRESHOLD, "several": len(result.others) > 1},
        printed=("shift",),
    )  # fmt: skip


def _first(result: ShiftResult) -> dict[str, Any]:
    """Return the numbers of the control (the first collection) as JSON-like values, empty if it was not measured."""
    if result.control is None:
        return {"collection": result.reference, "outcome": None, "passages": 0, "numbers": {}}
    return _document(result.control)


def _document(one: CollectionShift) -> dict[str, Any]:
    numbers = {row.pop("statistic"): clean(row) for row in one.numbers.to_dict(orient="records")}
    return {"collection": one.collection, "outcome": one.outcome, "passages": one.passages, "numbers": numbers}


def _sample(one: Measurement) -> PassageSample:
    drawn, words = one.datasets["passages"], one.frames["words"]
    column, vocabulary = pd.factorize(words["word"])
    places = (words["row"].to_numpy(), column)
    counts = sparse.csr_array((words["count"].to_numpy(), places), shape=(drawn.sizes["passage"], len(vocabulary)))
    vectors = {side: np.asarray(drawn[side].values) for side in (BEFORE, AFTER)}
    return PassageSample(counts, list(vocabulary), drawn["tokens"].values, drawn["unknown"].values, vectors)


REPORTER = Reporter(infer, report)
