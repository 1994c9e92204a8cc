"""Statements about representation drift: at which layers two models differ, and the shape of the embedding space."""

from typing import Any

import pandas as pd

from retroscope.analyses.representations.result import CollectionDrift, RepresentationResult
from retroscope.drift.result import RepresentationDrift
from retroscope.number_format import count, interval, score, signed
from retroscope.statistics import Difference
from retroscope.typesetting.effect_words import best, effect_words, estimate_of
from retroscope.typesetting.frames import rows
from retroscope.typesetting.statements import Estimate, Kind, State, Statement
from retroscope.typesetting.subject import AFTER, BEFORE, Subject

TOPIC = "representations"
RANDOM_WEIGHTS = "a random-weight control"
OTHER_TRAINING = "one trained with another seed"


def representation_statements(
    result: RepresentationResult, retrieval: Difference | None, subject: Subject
) -> tuple[Statement, ...]:
    """Return all conclusions (statements) on how both models' vectors differ.

    Args:
        result: drift on all collections.
        retrieval: the effect on retrieval, with which the effect with whitened vectors is compared.
        subject: the models and collections of the study.
    """
    drift = result.first.drift
    return (
        *(_similarity(drift, tower, subject) for tower in towers(drift)),
        _embedding_space(drift, subject),
        *_geometry_alone(result.first, retrieval, subject),
        *(_on_other(result.first, other) for other in result.by_collection[1:]),
    )


def towers(drift: RepresentationDrift) -> list[str]:
    """Return the encoders (towers) whose vectors were compared, in order: "query", "passage", or both."""
    return list(dict.fromkeys(drift.similarity["tower"]))


def _similarity(drift: RepresentationDrift, tower: str, subject: Subject) -> Statement:
    """State at which layers the two models' vectors are most and least similar by CKA."""
    similarities = _of(drift, tower, "cka")
    least, most = similarities.loc[similarities["value"].idxmin()], best(similarities, "value")
    text = (
        f"{tower.capitalize()} vectors before and after fine-tuning are most similar at layer {_label(subject, most)} "
        f"(CKA {_value(most)}) and least similar at layer {_label(subject, least)} (CKA {_value(least)}"
    )
    controls = [f"{score(least['halves'])} between two random halves of one model's vector dimensions"]
    if pd.notna(least["other_training"]):
        controls.append(f"{score(least['other_training'])} between the retriever and {OTHER_TRAINING} (the ceiling)")
    if pd.notna(least["random_weights"]):
        controls.append(f"{score(least['random_weights'])} between the backbone and {RANDOM_WEIGHTS}")
    number = Estimate(f"CKA of {tower} vectors, layer {_label(subject, least)}", least["value"], least["low"],
                      least["high"], n=drift.texts.get(tower, 0), kind=Kind.SCORE)  # fmt: skip
    text = (
        f"{text}). For comparison, CKA at layer {_label(subject, least)} is {' and '.join(controls)}."
        f"{_procrustes(drift, tower, subject)}"
    )
    return Statement(TOPIC, State.MEASURED, text, code=f"cka.{tower}", estimate=number, figure="similarity")


def _procrustes(drift: RepresentationDrift, tower: str, subject: Subject) -> str:
    """State at which layer the vectors are least similar by Procrustes distance, or "" if that is undefined."""
    distances = _of(drift, tower, "procrustes")
    if distances["value"].isna().all():
        return ""
    least = distances.loc[distances["value"].idxmin()]
    return (
        " Procrustes similarity, which also depends on directions of small variance, is lowest at layer "
        f"{_label(subject, least)} ({_value(least)}; {score(least['chance'])} for texts paired at random, the chance "
        "level)."
    )


def _on_other(first: CollectionDrift, other: CollectionDrift) -> Statement:
    """State the CKA of both models at the last layer, on the first and on another collection."""
    parts = [
        f"{tower} vectors {_value(_last(first.drift, tower))} on {first.collection}, "
        f"{_value(_last(other.drift, tower))} on {other.collection}"
        for tower in towers(first.drift)
    ]
    text = f"CKA between both models at the last layer: {'; '.join(parts)}."
    return Statement(TOPIC, State.MEASURED, text, code="other_collection")


def _last(drift: RepresentationDrift, tower: str) -> "pd.Series[Any]":
    last_rows = _of(drift, tower, "cka")
    return last_rows.loc[last_rows["layer"].idxmax()]


def _of(drift: RepresentationDrift, tower: str, statistic: str) -> pd.DataFrame:
    table = drift.similarity
    return table[(table["tower"] == tower) & (table["statistic"] == statistic)]


def _label(subject: Subject, row: "pd.Series[Any]") -> str:
    return subject.layer_label(int(row["layer"]))


def _value(row: "pd.Series[Any]") -> str:
    return f"{score(row['value'])} {interval(row['low'], row['high'])}"


def _embedding_space(drift: RepresentationDrift, subject: Subject) -> Statement:
    """State the anisotropy and effective dimensions of both models' passage vectors at the last layer."""
    table = drift.geometry
    last = table[(table["tower"] == "passage") & (table["layer"] == table["layer"].max())]
    geometry = last.set_index(["statistic", "side"])
    parts = []
    for name, title, digits in (
        ("anisotropy", "mean cosine of two texts", 3),
        ("effective_rank", "number of effective dimensions", 0),
    ):
        ends = [geometry.loc[(name, side)] for side in (BEFORE, AFTER)]
        shown = [f"{e['value']:.{digits}f} [{e['low']:.{digits}f}, {e['high']:.{digits}f}]" for e in ends]
        parts.append(f"the {title} is {shown[0]} before fine-tuning and {shown[1]} after")
    where = subject.layer_label(int(last["layer"].iloc[0]))
    n = drift.texts.get("passage")
    source = f", estimated from {count(n, 'text')}" if n else ""
    text = f"The embedding space of passages at layer {where}{source}: {'; '.join(parts)}."
    return Statement(TOPIC, State.MEASURED, text, code="embedding_space", figure="geometry")


def _geometry_alone(first: CollectionDrift, gain: Difference | None, subject: Subject) -> tuple[Statement, ...]:
    """State how much whitening (without queries) improves the backbone, and how much fine-tuning then changes."""
    if gain is None or first.whitened is None:
        return ()
    measure = subject.measures[0]
    plain, white = rows(gain, measure=measure), rows(first.whitened, measure=measure)
    if plain.empty or white.empty:
        return ()
    before, row = plain.iloc[0], white.iloc[0]
    shift = float(row[BEFORE] - before[BEFORE])
    text, state = effect_words(first.whitened, row, measure)
    opening = (
        f"Whitening, which uses no query, changes the backbone's {measure} from {score(before[BEFORE])} to "
        f"{score(row[BEFORE])} ({signed(shift)}); fine-tuning, without whitening, changes it by "
        f"{signed(before['effect'])}. With the vectors of both models whitened: "
    )
    number = estimate_of(row, f"{measure}, whitened")
    return (Statement(TOPIC, state, f"{opening}{text}", code="whitened", estimate=number),)
